"""Device code of the decorrelation losses in Numba; the files above launch it."""
