"""Spark for a team on any OpenStack, and the OpenStack itself."""

__version__ = "0.2.0.dev0"
