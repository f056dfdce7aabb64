"""The `local` cloud as data: settings, rendered configuration, replicas, health and status."""
