"""What `make fuzz` does: damaged files of every format, at random and guided by what they reach, see `__main__`."""
