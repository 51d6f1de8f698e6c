"""Memory and kernels as callables: one batch in, one batch out, same interval."""
