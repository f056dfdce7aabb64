"""Layer 5: the command line: parse, wire the adapters, print, exit codes."""
