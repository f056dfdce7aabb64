"""Everything that speaks to a Consul agent over HTTP."""
