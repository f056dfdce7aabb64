"""The `local` cloud on one machine, with Docker Compose."""
