"""Everything that speaks to a Docker engine, to Compose or to a Swarm."""
