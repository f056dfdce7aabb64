"""The examples: brought to a cluster, and run there."""
