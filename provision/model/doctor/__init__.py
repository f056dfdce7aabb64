"""Diagnosis of a cluster: what was observed, the rules, and their findings."""
