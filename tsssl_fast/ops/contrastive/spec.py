"""The contract of the contrastive family: dtypes, tolerances, what is saved.

`reference`, `cpp` and `numba` take every option and every dtype of DTYPES; others, and other
devices than the CPU for the latter two, are declined with a reason.
"""

import functools

import torch

from tsssl_fast.common.dtypes import compute_dtype as compute_dtype

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

# Rows of the tensor that nt_xent saves for its backward, each with one value per embedding. Over
# the negatives (positives): sum exp(a) = exp(shift) * total; count and summed logit of the
# positives; one_minus_p = 1 - P(positive); scale = 1 / ||z||, 0 for a row that counts as zero.
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
NT_XENT_ROWS = ("one_minus_p", "scale", *SUM_ROWS)


# The kernels shift exponents by one power of two while every exp stays a normal number: unit rows
# and 2 |beta| below this (kFixedShiftLimit in csrc/include/tsssl/contrastive.h).
FIXED_SHIFT_LIMIT = {torch.float32: 60.0, torch.float64: 600.0}

# Of each row of the triplet loss: similarity of its hardest negative; number of its positives, 0
# where it has no negative; number of the positives within the margin.
TRIPLET_ROWS = ("hardest", "count", "active")
# sigmoid_pairs and triplet have kernels in cpp. Every other backend runs them as row blocks of
# torch (reference/every_backend.py), so that asking for it by name works for them too.

REDUCTIONS = ("none", "sum", "mean")  # of nt_xent, in the order of csrc's Reduction


@functools.lru_cache
def kept_rows(rows: int, dim: int) -> int:
    """Side of the square in which nt_xent keeps its exponentials; 0: it does not.

    A quarter of the arithmetic is then not done twice. Half of the square is written: at most
    2.2 MB of float32, or the size of two copies of the views, and the square's padding: a kernel
    rounds up to its panel, of 32 rows at most.
    """
    return rows + 31 if rows <= max(1024, 4 * dim) else 0


# Pairs of options of functional.contrastive_loss without a meaning, and why. Every other
# combination is computed.
UNDEFINED = {
    ("denominator='own_positive'", "positives='log_sum'"): (
        "a denominator of each positive's own belongs to a mean over positives; "
        "log_sum has one logarithm of their sum"
    ),
    ("targets", "positives='log_sum'"): (
        "targets weigh the logarithm of each pair; log_sum has one logarithm of their sum"
    ),
    ("targets", "q_ids"): "both say which pairs are the row's positives",
    ("symmetric", "k=None"): "one set has no second direction: its pairs are both already",
}

# Rows whose norm is not above this count as zero: cosine 0 with everything, gradient 0.
TINY_NORM = 1e-12

# A kernel passes where its error against the float64 reference is at most ERROR_FACTOR times the
# error of the reference in the kernel's own arithmetic on the same input, plus one ulp of the
# result's largest element (values: of the largest loss; gradients: of the largest component), the
# mean over several draws of both (tests/checks.py says why). A gradient of one number (beta, scale,
# bias) is judged with those of all draws as one vector.
ERROR_FACTOR = 2.0

# Precisions (backends/precision.py). "ieee": the rule above. 16-bit inputs have it at every one of
# them for statistics, losses and the gradients of temperatures; the mean error of their own
# gradients before the last rounding is at most this many ulps of their dtype, of the largest
# element of each row.
GRADIENT_ULPS = 0.25

# The others: largest error of the cosine of two rows of float32, by Cauchy-Schwarz. bfloat16 rounds
# by 2^-8 at most; of two parts of each row 2^-16 is left out, and their smallest product.
COSINE_ERROR = {"bf16x3": 3.1 * 2.0**-16, "bf16": 2.01 * 2.0**-8}


def loss_error(precision: str, temperature: float) -> float:
    """Largest error of a row's NT-Xent loss beside float32's own: the logits of the positive and of
    the negatives are off by the cosines' error over tau, their logarithms of sums by no more."""
    return 2 * COSINE_ERROR[precision] / temperature


def gradient_error(precision: str, temperature: float) -> float:
    """Largest error of a row's gradient over sum_j |dL/da_ij + dL/da_ji| / (tau ||z_i||): of the
    rows it is a sum of, and of the pairs' weights, which are functions of logits and losses."""
    return COSINE_ERROR[precision] * (1 + 4 / temperature)


BLOCK_ELEMENTS = 1 << 20  # pairs of a block: 4 MB of float32 for each of its arrays


# The Triton backend declines float64, more rows than this on a side (offsets inside a tile have 32
# bits), and groups of more columns than a tile holds (triton.tuning.FUSED_COLUMNS). With
# a precision below "ieee" its float32 products are tf32x3 and tf32, and ERROR_FACTOR does not bound
# them.
TRITON_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
TRITON_ROWS = 2**22
