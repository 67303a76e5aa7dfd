"""D-SLA: how far a perturbed series is from the original."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, cross_entropy

from tsssl_fast.common import checks
from tsssl_fast.methods.base import Batch, Logs, Method, Views, at_least, one_view, out_features

KINDS = ("noise", "smoothing", "shift", "scale")


def perturbed(x: Tensor, kind: Tensor, strength: Tensor, noise: Tensor) -> Tensor:
    """Series that are changed as much as `strength` says.

    | kind | what                                                                       |
    | ---- | -------------------------------------------------------------------------- |
    | 0    | strength times the channel's deviation of `noise` is added                 |
    | 1    | (1 - strength) x + strength times the mean over a fifth of the steps       |
    | 2    | rotated in time by strength times a quarter of the steps                   |
    | 3    | (1 - strength / 2) x                                                       |

    Args:
        x: (N, C, T). kind: (N,) int64, index of `KINDS`. strength: (N,) in [0, 1].
        noise: (N, C, T), of mean 0 and deviation 1.
    """
    s = strength[:, None, None].to(x.dtype)
    deviation = x.std(-1, keepdim=True, correction=0)
    channels, steps = x.shape[1:]
    # A fifth of any length: a few steps of a long, smooth series would change nothing.
    reach = max(1, steps // 10)
    size = 2 * reach + 1
    box = torch.full((channels, 1, size), 1 / size, dtype=x.dtype, device=x.device)
    padded = torch.nn.functional.pad(x, (reach, reach), mode="replicate")
    smooth = conv1d(padded, box, groups=channels)
    moved = (strength * (steps / 4)).round().long()
    place = (torch.arange(steps, device=x.device) - moved[:, None]) % steps
    shifted = x.gather(2, place[:, None].expand_as(x))
    every = (x + s * deviation * noise, torch.lerp(x, smooth, s), shifted, x * (1 - s / 2))
    y = x
    for index, changed in enumerate(every):
        y = torch.where((kind == index)[:, None, None], changed, y)
    return y


class DSLA(Method):
    """Which of a series and K perturbed copies is the original, how far each copy is from it, and
    that other series are farther.

        h_0, h_1 ... h_K = encoder(.) of the original and of its copies;  d_k = |h_0 - h_k|
        loss = cross_entropy(scores of all K + 1, the original)
               + weight mean over k, l of (d_k / e_k - d_l / e_l)^2
               + mean over k and other series of max(0, margin + d_k - |h_0 - h'_0|)

    e_k are the drawn strengths, and d_k is at least 1e-6: distances are in proportion to them,
    across kinds of perturbation.

    Source: Graph Self-supervised Learning with Accurate Discrepancy Learning, 2022. Deviations:
    drawn strengths in the place of edit distances of graphs; another series is the next of the
    batch.

    Args:
        encoder: (N, C, T) -> (N, F).
        score: (N, F) -> (N, 1).
        views: augmentation before, of which the first view is used, or None.
        copies: K >= 2. least: of the strengths, which are uniform in [least, 1].
        weight: of the distances, >= 0. margin: > 0.
    """

    def __init__(
        self,
        encoder: nn.Module,
        score: nn.Module,
        views: Views | None = None,
        copies: int = 3,
        least: float = 0.1,
        weight: float = 1.0,
        margin: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder, self.score, self.views = encoder, score, views
        checks.at_least("copies", copies, 2)
        self.copies = copies
        if not 0 < least < 1:
            raise ValueError(f"least: {least}; accepted: a number in (0, 1)")
        self.least = least
        self.weight = checks.non_negative("weight", weight)
        self.margin = checks.positive("margin", margin)

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views | None,
        copies: float = 3,
        weight: float = 1.0,
        margin: float = 1.0,
    ) -> "DSLA":
        """A linear score; the originals are the series as they are."""
        score = nn.Linear(out_features(encoder), 1)
        return cls(encoder, score, None, int(copies), weight=weight, margin=margin)

    def draw(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """(K, N) kinds and strengths, (K, N, C, T) noise, of the step's seed."""
        source, n = torch.Generator().manual_seed(batch.seed), len(batch.x)
        kind = torch.randint(len(KINDS), (self.copies, n), generator=source)
        share = torch.rand(self.copies, n, generator=source, dtype=torch.float64)
        noise = torch.randn(self.copies, *batch.x.shape, generator=source, dtype=torch.float64)
        strength = self.least + (1 - self.least) * share
        return kind.to(batch.x.device), strength.to(batch.x), noise.to(batch.x)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        at_least(2, batch)
        x = one_view(self.views, batch)
        kind, strength, noise = self.draw(batch)
        n = len(x)
        copies = perturbed(
            x.repeat(self.copies, 1, 1), kind.flatten(), strength.flatten(), noise.flatten(0, 1)
        )
        h = self.encode(torch.cat([x, copies])).unflatten(0, (self.copies + 1, n))
        original = torch.zeros(n, dtype=torch.int64, device=x.device)
        told = cross_entropy(self.score(h)[..., 0].T, original)
        distance = (h[1:] - h[0]).square().sum(2).clamp_min(1e-12).sqrt()
        ratio = distance / strength
        proportion = (ratio[:, None] - ratio).square().mean()
        other = (h[0] - h[0].roll(1, 0)).square().sum(1).clamp_min(1e-12).sqrt()
        apart = (self.margin + distance - other).relu().mean()
        loss = told + self.weight * proportion + apart
        logs = {"told": told, "proportion": proportion, "apart": apart}
        return loss, {name: value.detach() for name, value in logs.items()}
