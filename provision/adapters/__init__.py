"""Layer 3, adapters: one module for each thing outside that is read or changed."""
