"""What is done to many of a cluster's servers at once."""
