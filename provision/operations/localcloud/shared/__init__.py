"""What a local cloud on one host and one on several hosts have in common."""
