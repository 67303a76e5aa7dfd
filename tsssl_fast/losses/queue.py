"""A memory of past features."""

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks


class FeatureQueue(nn.Module):
    """Ring buffer of the last `size` features, in the state_dict, updated in place.

    A batch longer than what is left wraps to the start; of one longer than the queue the last
    `size` rows stay. Unfilled slots are zero and flagged by `valid()`.

    Args:
        dim: columns. size: rows. dtype: of the buffer; None: torch's default.

    Raises TypeError, ValueError for a dim or size that is no number >= 1.

    features: (size, dim) buffer; position, filled: 0-d int64 buffers.
    """

    features: Tensor
    position: Tensor
    filled: Tensor

    def __init__(self, dim: int, size: int, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        for name, value in (("dim", dim), ("size", size)):
            checks.at_least(name, value, 1)
        self.register_buffer("features", torch.zeros(size, dim, dtype=dtype))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, features: Tensor) -> None:
        """Enqueues (N, dim) rows over the oldest, in the buffer's dtype.

        Raises TypeError for another dtype than floating, ValueError for another shape or device.
        """
        size, dim = self.features.shape
        checks.floating("features", features)
        if features.dim() != 2 or features.shape[1] != dim:
            raise ValueError(f"features: shape {tuple(features.shape)}; accepted: (N, {dim})")
        if features.device != self.features.device:
            raise ValueError(
                f"features: device {features.device}; accepted: {self.features.device}"
            )
        count = len(features)
        slots = (self.position + torch.arange(count, device=features.device)) % size
        keep = slice(max(0, count - size), count)
        self.features[slots[keep]] = features[keep].to(self.features.dtype)
        self.position.copy_((self.position + count) % size)
        self.filled.copy_((self.filled + count).clamp_max(size))

    def valid(self) -> Tensor:
        """(size,) bool: slots that hold a feature."""
        return torch.arange(len(self.features), device=self.features.device) < self.filled

    def extra_repr(self) -> str:
        size, dim = self.features.shape
        return f"dim={dim}, size={size}, dtype={self.features.dtype}"
