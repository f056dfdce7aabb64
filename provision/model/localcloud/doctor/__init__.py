"""Diagnosis of the `local` cloud: what was observed, the rules, and their findings."""
