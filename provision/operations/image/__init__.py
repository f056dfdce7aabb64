"""Baking the golden image and having it on a cloud."""
