"""The local cloud on one host, with Docker Compose."""
