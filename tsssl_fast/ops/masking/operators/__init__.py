"""The operators of the masking: signature, shapes of the results, derivative."""
