"""What one machine and several hosts do alike."""
