"""The operators of the decorrelation losses: signature, shapes of the results, derivative."""
