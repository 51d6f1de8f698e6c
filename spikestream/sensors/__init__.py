"""The world in."""
