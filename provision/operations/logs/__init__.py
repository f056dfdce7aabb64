"""Logs of many writers as one: of containers and of nodes."""
