"""Masked modelling: what to hide, what to write there, and the loss over what was hidden.

    from tsssl_fast import masking
    hidden = masking.random_mask(x.shape, 0.5, mode="patch", size=8, seed=0)
    loss = masking.masked_loss(model(masking.fill(x, hidden)), x, hidden)

A mask is True where a step is hidden.

`keep_indices`, `gather` and `restore` are the masked autoencoder's: it encodes the visible tokens
alone. Masks come from the same random streams as the augmentations (seed, epoch, step, rank, sample
id, view, operation): the same bits on every backend, in any batch, for any number of threads.

All functions take `backend=`: "reference", "cpp", "numba" or None for the fastest that can run. All
work on a batch of one.
"""

from tsssl_fast import ops as ops  # registers the operators
from tsssl_fast.masking.fills import fill
from tsssl_fast.masking.loss import masked_loss
from tsssl_fast.masking.masks import MODES, MaskPair, mask_pair, random_mask
from tsssl_fast.masking.tokens import gather, keep_indices, restore

__all__ = [
    "MODES",
    "MaskPair",
    "fill",
    "gather",
    "keep_indices",
    "mask_pair",
    "masked_loss",
    "random_mask",
    "restore",
]
