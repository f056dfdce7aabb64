"""Layer 2, the model: planning and rendering: data in, data out, no effects."""
