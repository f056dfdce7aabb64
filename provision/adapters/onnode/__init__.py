"""Programs that nodes run: their text is sent there. Python's standard library only, and nothing of this package."""
