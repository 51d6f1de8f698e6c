"""The only room that opens recordings."""
