"""From Docker containers to Consul services: the Registrator's rules."""
