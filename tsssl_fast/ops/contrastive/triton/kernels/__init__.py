"""Device code of the contrastive losses in Triton; the files above launch it."""
