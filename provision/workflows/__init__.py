"""Layer 4: what the commands do, each a short list of named steps."""
