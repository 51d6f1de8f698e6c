"""What a network is, whatever runs it."""
