"""Masking family: exact-count masks, fills, gathered tokens and losses over hidden values."""

from tsssl_fast.backends import dispatch
from tsssl_fast.ops.masking import cpp, numba, reference
from tsssl_fast.ops.masking.operators import fill as fill  # registers operators
from tsssl_fast.ops.masking.operators import loss as loss
from tsssl_fast.ops.masking.operators import mask as mask
from tsssl_fast.ops.masking.operators import tokens as tokens

dispatch.register_family(
    "masking",
    (
        "mask",
        "mask_fill",
        "mask_fill_backward",
        "masked_loss",
        "masked_loss_backward",
        "gather_tokens",
        "restore_tokens",
        "restore_tokens_backward",
    ),
    (cpp.BACKEND, numba.BACKEND, reference.BACKEND),
)
