"""Device code of the masking in Numba; the files above launch it."""
