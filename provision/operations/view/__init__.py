"""Views of a live cluster: what is going on, and the report."""
