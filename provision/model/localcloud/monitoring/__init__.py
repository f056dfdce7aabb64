"""Monitoring of the `local` cloud: which metrics are gathered, which alerts follow from them, how they are shown."""
