"""VoCo: where in a series a crop was taken."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tsssl_fast.common import checks
from tsssl_fast.losses import VoCoLoss
from tsssl_fast.methods.base import Batch, Logs, Method, Views, at_least, one_view, projector


def base_crops(x: Tensor, count: int, starts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Base crops that tile a series, and a crop of their length with its overlaps (VoCo: A
    Simple-yet-Effective Volume Contrastive Learning Framework for 3D Medical Image Analysis, 2024).

    Args:
        x: (N, C, T). count: S base crops of T // S steps; 2 to T. The last T mod S steps are in
            none.
        starts: (N,) int64 in [0, S L - L], the first step of each crop, with L = T // S.

    Returns:
        (crops, bases, overlaps): (N, C, L); (N, S, C, L); (N, S), the share of the crop's steps in
        each base crop: of neighbours, its rows sum to 1.

    Raises:
        ValueError: naming the argument.
    """
    checks.floating("x", x)
    if x.dim() != 3:
        raise ValueError(f"x: shape {tuple(x.shape)}; accepted: (N, C, T)")
    if not 2 <= count <= x.shape[2]:
        raise ValueError(f"count: {count}; accepted: 2 to the {x.shape[2]} steps")
    length = x.shape[2] // count
    last = (count - 1) * length
    if starts.shape != x.shape[:1] or int(starts.min()) < 0 or int(starts.max()) > last:
        raise ValueError(f"starts: {tuple(starts.shape)}; accepted: ({len(x)},) in 0 to {last}")
    bases = x[..., : count * length].unflatten(2, (count, length)).transpose(1, 2)
    steps = starts[:, None, None] + torch.arange(length, device=x.device)
    crops = x.gather(2, steps.expand(-1, x.shape[1], -1))
    first = length * torch.arange(count, device=x.device)
    shared = (length - (starts[:, None] - first).abs()).clamp_min(0)
    return crops, bases, shared.to(x.dtype) / length


class VoCo(Method):
    """A crop's similarity to base crops of its series says how much they overlap.

        z, b = projector(encoder(.)) of the crop and of S base crops;  loss = VoCo(z, b, overlaps)

    Source: VoCo: A Simple-yet-Effective Volume Contrastive Learning Framework for 3D Medical Image
    Analysis, 2024. Deviations: segments of time in the place of boxes, crops as long as they, and
    one encoder without a momentum copy. Crops are interpolated to the series' length.

    Args:
        encoder: (N, C, T) -> (N, F). projector: (N, F) -> (N, D).
        views: augmentation of the series before cropping, of which the first view is used, or None.
        bases: S >= 2.
        regularizer: of the loss.
    """

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views | None = None,
        bases: int = 4,
        regularizer: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.views = views
        self.bases = int(bases)
        self.criterion = VoCoLoss(regularizer=regularizer)

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views | None, bases: int = 4, regularizer: float = 1.0
    ) -> "VoCo":
        """A 256-128 projector."""
        return cls(encoder, projector(encoder), views, int(bases), regularizer)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        at_least(2, batch)
        x, count = one_view(self.views, batch), self.bases
        source = torch.Generator().manual_seed(batch.seed)
        last = (count - 1) * (x.shape[2] // count)
        starts = torch.randint(last + 1, (len(x),), generator=source).to(x.device)
        crops, bases, overlaps = base_crops(x, count, starts)
        every = torch.cat([crops, bases.flatten(0, 1)])
        every = interpolate(every, x.shape[2], mode="linear")
        z, b = self.projector(self.encode(every)).split([len(x), count * len(x)])
        return self.criterion(z, b.unflatten(0, (len(x), count)), overlaps), {}
