"""The contract of the contrastive family: dtypes, tolerances, what is saved."""

import torch

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

# Rows of the tensor that the forward saves for the backward, each with one value per embedding:
# sum over the negatives of exp(a) = exp(shift) * total; share = 1 - P(positive);
# inverse_norm = 1 / ||z||, 0 for a row that counts as zero.
SAVED_ROWS = ("shift", "total", "share", "inverse_norm")

# Rows whose norm is not above this count as zero: cosine 0 with everything, gradient 0.
TINY_NORM = 1e-12

# A kernel passes where its error against the float64 reference is at most ERROR_FACTOR times the
# error of the reference in the kernel's own arithmetic on the same input, plus one ulp of the
# result's largest element (values: of the largest loss; gradients: of the largest component).
ERROR_FACTOR = 2.0


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The arithmetic, and the dtype of the loss: float32 for 16-bit inputs, else their own."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
