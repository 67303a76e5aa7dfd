"""The arithmetic that an input's dtype gets, in every family."""

import torch


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The arithmetic, and the dtype of a loss: float32 for 16-bit inputs, else their own."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
