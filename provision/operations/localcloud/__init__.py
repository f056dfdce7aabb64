"""What is done with the `local` cloud."""
