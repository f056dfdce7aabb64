"""The operator's own Python packages and jars: resolved once, kept in the cluster's folder, brought to every node."""
