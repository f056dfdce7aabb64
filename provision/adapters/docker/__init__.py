"""Adapters for Docker: the engine, Compose, Swarm."""
