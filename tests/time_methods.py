"""What the tests of methods on views and steps share: encoders, batches, a set to learn from."""

import torch
from torch import Tensor, nn
from toy import Jitter, dataset

from tsssl_fast import encoders, evaluate
from tsssl_fast.augment import Compose, Drift, RandomNoise, TimeShift
from tsssl_fast.encoders import Features
from tsssl_fast.encoders.padding import hide
from tsssl_fast.methods import METHODS, Batch


def batch(n: int = 8, seed: int = 5) -> Batch:
    data = dataset()
    return Batch(data.x_train[:n].double(), torch.arange(n), seed, data.y_train[:n])


def views_of(given: Batch) -> Tensor:
    return Jitter()(given.x, seed=given.seed, sample_ids=given.sample_ids)


class Mean(nn.Module):
    """An encoder of one's own: the mean over time, then a linear map."""

    out_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mean(-1))


class Steps(nn.Module):
    """A linear map of every `stride` steps; pooled: mean and maximum."""

    out_features = 8

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.linear = nn.Linear(3 * stride, 4)

    def features(self, x: Tensor, lengths: Tensor | None = None) -> Features:
        if lengths is not None:
            x = hide(x, lengths)
        if x.shape[-1] % self.stride:
            x = nn.functional.pad(x, (0, self.stride - x.shape[-1] % self.stride))
        h = self.linear(x.unflatten(2, (-1, self.stride)).transpose(1, 2).flatten(2))
        left = None
        if lengths is not None:
            left = -(-lengths // self.stride)
            h = torch.where((torch.arange(h.shape[1]) < left[:, None])[..., None], h, 0.0)
        return Features(h, torch.cat([h.mean(1), h.amax(1)], dim=1), left, ())

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.features(x, lengths).pooled


def hard(n: int, seed: int, nuisance: float) -> tuple[Tensor, Tensor]:
    """(n, 2, 48) float32, four classes by the frequency of a sine of any phase in loud noise, on an
    offset and a trend that differ from series to series."""
    g = torch.Generator().manual_seed(seed)
    y, time = torch.arange(n) % 4, torch.linspace(0, 2 * torch.pi, 48)
    phase = torch.rand(n, 2, 1, generator=g) * 2 * torch.pi
    wave = torch.sin(time * (4 + 2 * y)[:, None, None] + phase)
    offset, trend = nuisance * torch.randn(2, n, 1, 1, generator=g)
    return wave + offset + trend * (time / torch.pi - 1) + 0.5 * torch.randn(
        n, 2, 48, generator=g
    ), y


def gains(
    name: str,
    seeds: int = 2,
    epochs: int = 60,
    nuisance: float = 0.75,
    plain: bool = False,
    **options,
) -> tuple[float, float]:
    """Accuracy of a linear probe on frozen features: of the random encoder, of the trained one;
    means of two seeds. plain: without views."""
    (x, y), (other, other_y) = hard(192, 0, nuisance), hard(192, 1, nuisance)
    drift = Drift(2 * nuisance, knots=0, relative=False)
    views = Compose([TimeShift(0.5), drift, RandomNoise(0.5, distribution="normal")])
    found = torch.zeros(2)
    for seed in range(2):
        torch.manual_seed(seed)
        method = METHODS[name](
            encoders.build("resnet", 2, 48, widths=(8, 16)), None if plain else views, **options
        )
        optimizer = torch.optim.AdamW(method.parameters(), lr=3e-3)
        for step in range(epochs * 3 + 1):
            if step in (0, epochs * 3):
                method.encoder.eval()
                pair = [evaluate.features(method.encoder, v) for v in (x, other)]
                accuracy = evaluate.linear_probe(pair[0], y, pair[1], other_y).accuracy
                found[int(step > 0)] += accuracy / 2
                method.encoder.train()
            rows = torch.arange(64) + 64 * (step % 3)
            loss, _ = method.loss(Batch(x[rows], rows, step))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            method.after_step()
    return found[0].item(), found[1].item()
