"""The operators of the preprocessing: signature, shapes of the results, derivative."""
