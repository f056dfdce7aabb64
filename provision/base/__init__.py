"""Layer 0: what everything else stands on: errors, paths, shared facts and plain data."""
