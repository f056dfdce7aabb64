"""The local cloud on several hosts, with Docker Swarm."""
