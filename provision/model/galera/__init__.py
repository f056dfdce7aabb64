"""Which member of a Galera cluster may start it."""
