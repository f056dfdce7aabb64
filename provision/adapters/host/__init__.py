"""Adapters for this machine: its facts, processes, files and certificates."""
