"""Device code of the augmentations in Numba; the files above launch it."""
