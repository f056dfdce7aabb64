"""The `local` cloud: OpenStack in containers, on one host (`single`) or several (`swarm`)."""
