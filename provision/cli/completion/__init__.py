"""Completion in the shell: the scripts, and the names that are known without a cloud."""

VARIABLE = "_PROVISION_COMPLETE"
"""Says which shell asks for completion; click's own name for it."""
