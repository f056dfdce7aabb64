"""Spark for a team on any OpenStack, and the OpenStack itself."""

__version__ = "0.1.0"
