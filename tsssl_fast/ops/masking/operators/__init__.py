"""The operators of the masking: signature, shapes of the results, derivative."""

from tsssl_fast.ops.masking.operators import fill, loss, mask, tokens

__all__ = ["fill", "loss", "mask", "tokens"]
