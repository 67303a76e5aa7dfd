"""The operators of the augmentations: signature, shapes of the results, derivative."""
