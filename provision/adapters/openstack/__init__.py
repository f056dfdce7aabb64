"""Adapters for OpenStack. openstacksdk is imported here and nowhere else."""
