"""People's data: files in and out, backups, and what is carried over when a master is replaced."""
