"""The operators of the contrastive losses: signature, shapes of the results, derivative."""
