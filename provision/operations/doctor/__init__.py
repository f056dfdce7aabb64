"""Diagnosis of a cluster: what is asked of its cloud and its nodes, all at once."""
