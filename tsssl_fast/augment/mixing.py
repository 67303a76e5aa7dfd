"""Operations that mix samples of a batch. They say who was mixed with whom, and how much."""

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import torch
from torch import Tensor

from tsssl_fast.augment import inputs, validation
from tsssl_fast.augment.inputs import Array
from tsssl_fast.augment.run import Number
from tsssl_fast.augment.torch_only import TorchOnly
from tsssl_fast.augment.validation import Range, by
from tsssl_fast.ops.augment import spec

__all__ = [
    "CutMix",
    "MixUp",
    "Mixed",
]


class Mixed(NamedTuple):
    """x: as called, with `views` (views, N, C, T). source: (N,) or (views, N) int64, row of the
    other sample; its own if unmixed.

    weight: (N,) or (views, N), share of the sample itself; 1 - weight belongs to the other.
    """

    x: Tensor
    source: Tensor
    weight: Tensor


class _Mixing(TorchOnly):
    """Every sample has another partner of the batch, in every view; only at N = 1 itself.

    Depends on the batch, as every mixing does. Differentiable with respect to x. In a Compose the
    parameters "source" and "weight" (return_params=True) hold where the operation acts; steps that
    are padding in the partner stay.
    """

    if TYPE_CHECKING:

        def __call__(self, x: Any, views: Number | None = None, **arguments: Any) -> Mixed: ...  # type: ignore[override]

    def forward(self, x: Tensor | Array, views: Number | None = None, **arguments: Any) -> Mixed:
        """x: (N, C, T), a tensor or an array; or (views, N, C, T) from a pipeline.

        views: None keeps the shape. Others: seed, sample_ids, epoch, step, rank as in Compose.
        """
        if not isinstance(x, Tensor):
            mixed = self.forward(inputs.from_array("x", x), views, **arguments)
            return Mixed(*(inputs.as_arrays(part) for part in mixed))
        if x.dim() == 2:
            self.check_single()
        y, slots = self.run(x, views, **arguments)
        acts = slots[..., 0] != 0
        own = torch.arange(x.shape[-3], dtype=torch.float64)
        source = torch.where(acts, slots[..., 1], own).long()
        weight = torch.where(acts, slots[..., 2], 1.0)
        dtype = spec.compute_dtype(x.dtype)
        mixed = Mixed(y, source.to(x.device), weight.to(dtype).to(x.device))
        keep = views is None and x.dim() == 3
        return Mixed(*(part.squeeze(0) for part in mixed)) if keep else mixed


class MixUp(_Mixing):
    """x~_i = w x_i + (1 - w) x_j with w uniform on a range.

    Every sample i has another partner j; only at N = 1 itself. Differentiable with respect to x. In
    a Compose, return_params=True gives j ("source") and w ("weight") where it acts.

    Source: Zhang et al., ICLR 2018, with Beta(1, 1). Units: weight has none.

    Args:
        weight: range of w in [0, 1].
    """

    weight: Annotated[Range, by(validation.interval, 0, 1)] = (0.0, 1.0)


class CutMix(_Mixing):
    """A window of time comes from another sample.

    x~_i[c, t] = x_j[c, t] for start <= t < start + length, else x_i[c, t]; partners and parameters
    as in MixUp, weight = 1 - length / T.

    Source: Yun et al., ICCV 2019, along time. Units: length in steps or shares of T.

    Args:
        length: of the window: share of T in (0, 1] (floats) or steps (integers), or a range.
    """

    length: Annotated[Range, by(validation.size, 1 << 31)] = (0.1, 0.5)
