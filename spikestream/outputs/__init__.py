"""The world out."""
