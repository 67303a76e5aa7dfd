"""Device code of the preprocessing in Numba; the files above launch it."""
