"""Device code of the decorrelation losses in Triton; the files above launch it."""
