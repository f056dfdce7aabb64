"""What is done with one Spark cluster."""
