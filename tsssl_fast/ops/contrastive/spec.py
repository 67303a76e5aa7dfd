"""The contract of the contrastive family: dtypes, tolerances, what is saved."""

import torch

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

# Rows of the tensor that nt_xent saves for its backward, each with one value per embedding. Over
# the negatives (positives): sum exp(a) = exp(shift) * total; count and summed logit of the
# positives; share = 1 - P(positive); scale = 1 / ||z||, 0 for a row that counts as zero.
SUM_ROWS = (
    "negative_shift",
    "positive_shift",
    "negative_total",
    "positive_total",
    "count",
    "logit",
)
# On request, from the same pass: the negatives' summed logit; the number of negatives, of
# positives; over all pairs of the row sum exp(-2 ||u_i - u_j||^2); the largest logit of either
# class.
STATISTICS = (
    "negative_logit",
    "negative_count",
    "positive_count",
    "uniform",
    "negative_top",
    "positive_top",
)
NT_XENT_ROWS = ("share", "scale", *SUM_ROWS)

# Rows whose norm is not above this count as zero: cosine 0 with everything, gradient 0.
TINY_NORM = 1e-12

# A kernel passes where its error against the float64 reference is at most ERROR_FACTOR times the
# error of the reference in the kernel's own arithmetic on the same input, plus one ulp of the
# result's largest element (values: of the largest loss; gradients: of the largest component), the
# mean over several draws of both (tests/checks.py says why).
ERROR_FACTOR = 2.0


# The Triton backend declines float64, more rows than this on a side (offsets inside a tile have 32
# bits), and groups of more columns than a tile holds (triton_configs.FUSED_COLUMNS). With
# torch.set_float32_matmul_precision below "highest" its float32 products are what torch's then are,
# and ERROR_FACTOR does not bound them.
TRITON_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
TRITON_ROWS = 2**22


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The arithmetic, and the dtype of the loss: float32 for 16-bit inputs, else their own."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
