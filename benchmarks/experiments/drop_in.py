"""The drop-in claim: SimCLR with this package's views and loss against the same in plain torch.

    python benchmarks/experiments/drop_in.py --data DIR --set har  # time of a step, part by part
    python benchmarks/experiments/drop_in.py --data DIR --set har --seeds 3  # and accuracy

Both train the same encoder from the same weights in the same batches; the views draw from the same
distributions by other generators, so that accuracies agree within the spread over seeds, not to the
bit. Times are medians over the steps of interleaved epochs: the processor's time of one thread, or
with --threads 2 and more, which needs a machine of its own, the clock's.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from accuracy_recipes import SETS, recipe
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, normalize

from tsssl_fast import evaluate
from tsssl_fast.data import Dataset, Scaling, load
from tsssl_fast.training import Config, StepProfile, fit
from tsssl_fast.training.profile import PARTS


class PlainViews:
    """The presets `wearable` and `forward` in batched torch, without a loop over samples."""

    def __init__(self, name: str) -> None:
        self.wearable = name == "wearable"

    def __call__(self, x: Tensor, views: int, *, seed: int, sample_ids: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.stack([self.view(x, generator) for _ in range(views)])

    def view(self, x: Tensor, generator: torch.Generator) -> Tensor:
        n, channels, steps = x.shape

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        # Crop and warp: where each output step reads, then one gather with linear interpolation.
        width = 0.6 + 0.4 * uniform(n, 1)
        start = uniform(n, 1) * (1 - width) * steps
        knots, strength = (4, 0.2) if self.wearable else (6, 0.6)
        speed = 1 + strength * (2 * uniform(n, knots + 2) - 1)
        speed = interpolate(speed[:, None], steps, mode="linear", align_corners=True)[:, 0]
        warp = speed.cumsum(1) - speed[:, :1]
        warp = warp / warp[:, -1:]
        place = (start + warp * (width * steps - 1)).clamp(0, steps - 1)
        left = place.floor().long().clamp(max=steps - 2)
        share = (place - left)[:, None]
        index = left[:, None].expand(-1, channels, -1)
        y = torch.lerp(x.gather(2, index), x.gather(2, index + 1), share)
        deviation = y.std(-1, keepdim=True, correction=0)
        if self.wearable:
            y = y * (1 + 0.1 * normal(n, channels, 1))
            ends = normal(n, channels, 2)
            drift = interpolate(ends, steps, mode="linear", align_corners=True)
            y = y + 0.2 * drift
            curve = normal(n, channels, 6)
            curve = interpolate(curve, steps, mode="linear", align_corners=True)
            y = y * (1 + 0.1 * curve)
            y = y * (uniform(n, channels, 1) >= 0.15)
            deviation = y.std(-1, keepdim=True, correction=0)
            return y + 0.1 * deviation * normal(*y.shape)
        time = torch.arange(steps) / steps
        periods = 0.5 + 1.5 * uniform(n, 1, 1)
        y = y * (1 + 0.3 * torch.sin(2 * torch.pi * (periods * time + uniform(n, channels, 1))))
        return y + 0.05 * deviation * (2 * uniform(*y.shape) - 1)


class PlainNTXent(nn.Module):
    """NT-Xent as it is usually written: the whole similarity matrix and cross-entropy."""

    def __init__(self, temperature: float = 0.2) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        z = normalize(torch.cat([z1, z2]))
        similarity = z @ z.T / self.temperature
        similarity.fill_diagonal_(-torch.inf)
        n = len(z1)
        return cross_entropy(similarity, torch.arange(2 * n).roll(n))


def train(config: Config, data: Dataset, plain: bool, profile: StepProfile) -> tuple[Any, Scaling]:
    views = PlainViews(config.views) if plain else None
    method: Any = config.build(data.channels, data.length, views)
    if plain:
        method.criterion = PlainNTXent()
    scaling = Scaling.fit(data.x_train, config.scaling, config.scale_group)
    fit(method, scaling(data.x_train), config, profile=profile)
    return method.encoder, scaling


def accuracy(encoder: nn.Module, scaling: Scaling, data: Dataset) -> float:
    train_z, test_z = (evaluate.features(encoder, scaling(x)) for x in (data.x_train, data.x_test))
    split = (train_z, data.y_train, test_z, data.y_test)
    return evaluate.ridge_probe(*split, groups=data.groups).accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the .npz files")
    parser.add_argument("--set", choices=SETS, default="har")
    parser.add_argument("--seeds", type=int, default=0, help="trainings to the end, for accuracy")
    parser.add_argument("--rounds", type=int, default=2, help="epochs of each, interleaved, timed")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    data = load(given.data / f"{SETS[given.set]}.npz")
    settings = recipe(given.set, "simclr").config
    names = {False: "tsssl_fast", True: "plain torch"}
    clock = time.process_time if given.threads == 1 else time.perf_counter
    profiles = {plain: StepProfile(clock) for plain in names}
    short = Config(**settings | {"epochs": 1 if given.set == "har" else 10}).resolved(data)
    for _ in range(given.rounds):
        for plain in names:
            train(short, data, plain, profiles[plain])
    print(
        f"{given.set}, batch {short.batch_size}, {given.threads} thread(s): median ms of a step\n"
    )
    print(f"| {'part':<12} | tsssl_fast | share | plain torch | share | plain / ours |")
    print("| --- | --- | --- | --- | --- | --- |")
    ours, theirs = profiles[False].medians(), profiles[True].medians()
    for part in (*PARTS, "step"):
        a, b = ours[part], theirs[part]
        shares = a / ours["step"], b / theirs["step"]
        ratio = f"{b / a:.1f}" if a > 0.01 else ""
        print(f"| {part} | {a:.2f} | {shares[0]:.1%} | {b:.2f} | {shares[1]:.1%} | {ratio} |")
    for plain in names if given.seeds else ():
        figures = []
        for seed in range(given.seeds):
            config = Config(**settings, seed=seed).resolved(data)
            figures.append(accuracy(*train(config, data, plain, StepProfile()), data))
        spread = statistics.stdev(figures) if len(figures) > 1 else 0.0
        mean = statistics.mean(figures)
        print(f"\n{names[plain]}: ridge probe {mean:.3f} ± {spread:.3f} over {len(figures)} seeds")


if __name__ == "__main__":
    main()
