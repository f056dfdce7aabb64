"""The examples: what a notebook's text says, and the network that one of them sizes."""
