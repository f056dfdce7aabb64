"""The golden image as data: what it is baked from, and where it lies."""
