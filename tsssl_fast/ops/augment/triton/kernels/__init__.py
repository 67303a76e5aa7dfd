"""Device code of the augmentations in Triton; the files above launch it."""
