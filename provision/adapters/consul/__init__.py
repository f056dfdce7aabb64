"""Adapters for Consul, over HTTP."""
