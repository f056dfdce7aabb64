"""Completion in the shell: the scripts, and the names that are known without a cloud."""
