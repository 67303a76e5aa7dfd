"""TS2Vec: contrast of steps and of series, on every scale of time."""

from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast import masking
from tsssl_fast.augment import OverlappingCrops
from tsssl_fast.common import checks
from tsssl_fast.encoders.padding import hide
from tsssl_fast.losses import HierarchicalContrastiveLoss
from tsssl_fast.methods.base import Batch, Logs, Method, Views, at_least, one_view


class TS2Vec(Method):
    """Two crops of a series, with hidden steps, agree at every step that they share.

        x_1, x_2 = overlapping crops of x;  h_i = encoder.features(x_i with hidden steps).steps
        loss = HierarchicalContrastiveLoss(h_1's last steps, h_2's first steps), those in common

    Source: TS2Vec: Towards Universal Representation of Time Series, 2022. Its encoder is the
    dilated `causal` one; any other that has `features` will do: crops begin at multiples of its
    stride. Deviations: a hidden step is 0 in the series, which the stem of `causal`, without bias,
    makes the 0 of the latent series; a given share of the steps is hidden; no average of weights.

    Series of unequal length: a series that ends before the common steps begin takes no part.

    Args:
        encoder: a `TimeEncoder`: `features(x, lengths).steps` (N, L, F), L = ceil(T / stride).
        views: augmentation of the series before cropping, the first view is used, or None, as in
            the paper.
        ratio: share of hidden steps, in [0, 1).
        alpha: weight of the contrast between series, in [0, 1]; the rest is between steps.

    Raises ValueError naming the argument; for a batch of one, or fewer steps than two strides.
    """

    takes_lengths = True
    encoder: Any

    def __init__(
        self, encoder: nn.Module, views: Views | None = None, ratio: float = 0.5, alpha: float = 0.5
    ) -> None:
        super().__init__()
        if not hasattr(encoder, "features"):
            given = type(encoder).__name__
            raise TypeError(f"encoder: {given}; accepted: a TimeEncoder, which has features")
        checks.fraction("ratio", ratio)
        self.encoder, self.views, self.ratio = encoder, views, ratio
        self.criterion = HierarchicalContrastiveLoss(alpha=alpha)

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views | None, ratio: float = 0.5, alpha: float = 0.5
    ) -> "TS2Vec":
        """Half of the steps hidden, both contrasts alike."""
        return cls(encoder, views, ratio, alpha)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        at_least(self.min_batch, batch)
        x, stride = one_view(self.views, batch), self.encoder.stride
        if x.shape[2] < 2 * stride:
            raise ValueError(
                f"batch.x: {x.shape[2]} steps; accepted: {2 * stride} or more, of which this "
                "encoder makes two (causal makes one of each)"
            )
        # In steps of the encoder, so that a step of one crop is a step of the other.
        at: dict[str, Any] = {"seed": batch.seed, "sample_ids": batch.sample_ids}
        crops = OverlappingCrops()(x[:, :1, : x.shape[2] // stride], **at)
        sizes, common = (crops.first.shape[2], crops.second.shape[2]), crops.overlap
        start, left = crops.start.to(x.device), None
        if batch.lengths is not None:
            left = batch.lengths // stride
            span = sizes[0] + sizes[1] - common
            start = start - (start[:, :1] - (left[:, None] - span).clamp(min=0)).clamp(min=0)
        found = []
        for i, size in enumerate(sizes):
            steps = torch.arange(size * stride, device=x.device) + start[:, i : i + 1] * stride
            crop = x.gather(2, steps[:, None].expand(-1, x.shape[1], -1))
            shape = (len(x), size * stride)
            hidden = masking.random_mask(shape, self.ratio, views=2, **at, device=x.device)[i]
            lengths = None
            if batch.lengths is not None:
                lengths = (batch.lengths - start[:, i] * stride).clamp(1, size * stride)
            found.append(self.encode(crop.masked_fill(hidden[:, None], 0), self._steps, lengths))
        pair = found[0][:, -common:], found[1][:, :common]
        if left is None:
            return self.criterion(*pair), {}
        valid = (left - start[:, 1]).clamp(max=common)
        keep = valid > 0
        if self.criterion.process_group is None and not bool(keep.any()):
            return pair[0].sum() * 0, {}
        return self.criterion(*(z[keep] for z in pair), lengths=valid[keep]), {}

    def _steps(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        steps: Tensor = self.encoder.features(x, lengths).steps
        return steps

    @torch.no_grad()
    def embed_steps(self, x: Tensor, length: int | None = None, past: int = 0) -> Tensor:
        """(N, C, T) -> (N, L, F): an embedding of every step, or stride.

        length: None, or steps that are embedded at once, in windows that see `past` steps before
        them (sliding inference); both whole strides.
        """
        length = x.shape[2] if length is None else length
        for name, value, least in (("length", length, 1), ("past", past, 0)):
            checks.at_least(name, value, least)
            if value % self.encoder.stride and value < x.shape[2]:
                accepted = f"a multiple of the encoder's stride {self.encoder.stride}"
                raise ValueError(f"{name}: {value}; accepted: {accepted}")
        windows = []
        for begin in range(0, x.shape[2], length):
            first = max(0, begin - past)
            h = self._steps(x[..., first : begin + length])
            windows.append(h[:, (begin - first) // self.encoder.stride :])
        return torch.cat(windows, dim=1)

    @torch.no_grad()
    def embed_series(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(N, C, T) -> (N, F): the greatest of every feature over the steps of a series."""
        found = self.encoder.features(x, lengths)
        greatest: Tensor = hide(found.steps.mT, found.lengths, -torch.inf).amax(-1)
        return greatest
