"""A Spark cluster as data: its resources, the plan that makes them, and what its nodes are given."""
