"""Layer 3: doors to the world, one module per effect."""
