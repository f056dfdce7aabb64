"""This machine: its facts, processes, files and certificates."""
