"""Layer 4, operations: what the commands do, each a short list of named steps."""
