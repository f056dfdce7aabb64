"""The commands for the examples, and for the network that one of them sizes."""
