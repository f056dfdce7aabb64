"""Monitoring of a cluster: which metrics its master gathers, which alerts follow from them, how they are shown."""
