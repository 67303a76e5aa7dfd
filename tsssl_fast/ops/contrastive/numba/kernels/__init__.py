"""Device code of the contrastive losses in Numba; the files above launch it."""
