"""A neuron and a rule from outside: quadratic integrate and fire, and the sliding threshold of BCM, a file each."""
