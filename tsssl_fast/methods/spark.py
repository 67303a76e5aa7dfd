"""SparK: masked modelling by a convolutional network that does not see hidden steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tsssl_fast import masking
from tsssl_fast.methods.base import Batch, Logs, Method, Views, one_view, out_features
from tsssl_fast.methods.masked_reconstruction import Steps
from tsssl_fast.methods.tokens import check_hides, check_ratio

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.AvgPool2d, nn.MaxPool2d)


@contextmanager
def hidden_in(encoder: nn.Module, hidden: Tensor) -> Iterator[None]:
    """Inside, what the convolutions, poolings and normalisations of an encoder give at hidden steps
    is 0, at every resolution: nothing flows through them.

    hidden: (N, T) bool.
    """

    def cleared(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        length = output.shape[-1]
        visible = interpolate((~hidden)[:, None].to(output.dtype), length, mode="nearest")
        return output * visible.view(len(hidden), *([1] * (output.dim() - 2)), length)

    handles = [
        module.register_forward_hook(cleared)
        for module in encoder.modules()
        if isinstance(module, _LAYERS)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class SparK(Method):
    """Patches of time are hidden from a convolutional encoder at all its layers; rebuild them.

        h = encoder's map, 0 at hidden steps after every layer;  d = h, a learned token where hidden
        loss = mean over hidden steps of (head(d) - x)^2

    Source: Designing BERT for Convolutional Networks: Sparse and Hierarchical Masked Modeling,
    2023. Deviations: the last map alone is decoded, by two convolutions; normalisations count
    hidden steps as 0.

    Args:
        encoder: with `feature_map`: (N, C, T) -> (N, F, 1, L), of convolutions.
        head: (N, F, L) -> (N, C, L'), interpolated to T.
        width: F. views: augmentation, of which the first view is used, or None.
        ratio: share of hidden steps, in patches of `size` steps.
    """

    min_batch = 1

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        width: int,
        views: Views | None = None,
        ratio: float = 0.6,
        size: int = 16,
    ) -> None:
        super().__init__()
        self.encoder, self.head, self.views = encoder, head, views
        self.ratio = check_ratio(ratio)
        self.size = size
        self.token = nn.Parameter(0.02 * torch.randn(width))

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views | None, ratio: float = 0.6, size: float = 16
    ) -> "SparK":
        """Two convolutions of kernel 9 and the linear head of `MaskedReconstruction`."""
        width = out_features(encoder) // 2
        convs = (nn.Conv1d(width, width, 9, padding=4) for _ in range(2))
        first, second = convs
        head = nn.Sequential(first, nn.GELU(), second, nn.GELU(), Steps.of(encoder))
        return cls(encoder, head, width, views, ratio, int(size))

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        x = one_view(self.views, batch)
        patches = -(-x.shape[2] // self.size)
        hidden = masking.random_mask(
            x.shape,
            check_hides(self.ratio, patches, "patches"),
            mode="patch",
            size=min(self.size, x.shape[2]),
            seed=batch.seed,
            sample_ids=batch.sample_ids,
            device=x.device,
        )
        d = self.densified(x, hidden)
        rebuilt = interpolate(self.head(d), x.shape[-1], mode="linear")
        return masking.masked_loss(rebuilt, x.detach(), hidden.contiguous()), {}

    def densified(self, x: Tensor, hidden: Tensor) -> Tensor:
        """(N, F, L): the features of visible steps, the token elsewhere. hidden: (N, C, T), the
        same for all channels."""
        encoder: Any = self.encoder
        steps = hidden[:, 0]
        with hidden_in(self.encoder, steps):
            h = self.encode(masking.fill(x, hidden.contiguous()), encoder.feature_map).squeeze(2)
        gone = interpolate(steps[:, None].to(h.dtype), h.shape[-1], mode="nearest") > 0
        return torch.where(gone, self.token[:, None], h)
