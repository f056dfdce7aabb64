"""Layer 2: planning and rendering: data in, data out, no effects."""
