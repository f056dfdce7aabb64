"""Layer 5: the command line: parse, wire the doors, print, exit codes."""
