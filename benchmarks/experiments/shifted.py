"""Test-time training under a stated shift: accuracy of one probe with and without adaptation.

    python benchmarks/experiments/shifted.py --data DIR --set uwave --seeds 3

An encoder learns by masked reconstruction on the train series, a linear probe on its features. The
test series are then disturbed (white noise in units of each channel's standard deviation over the
train split, or a gain on all channels), and the same probe reads the features of the frozen encoder
and of the encoder after a few steps of masked reconstruction on each test batch. The probe, its C,
the steps and their rate are fixed before the test series are seen.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accuracy_recipes import COMMON, SETS
from torch import Tensor

from tsssl_fast import evaluate
from tsssl_fast.data import Scaling, load
from tsssl_fast.training import Config, fit


def noise(size: float) -> Callable[[Tensor], Tensor]:
    def shifted(x: Tensor) -> Tensor:
        return x + size * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))

    return shifted


SHIFTS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "noise 0.3": noise(0.3),
    "noise 0.6": noise(0.6),
    "gain 1.5": lambda x: 1.5 * x,
    "gain 0.5": lambda x: 0.5 * x,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the .npz files")
    parser.add_argument("--set", choices=SETS, default="uwave")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64, help="test series adapted to together")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = load(given.data / f"{SETS[given.set]}.npz")
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in SHIFTS}
    for seed in range(given.seeds):
        settings = COMMON[given.set] | {"encoder": "patch_transformer"}
        config = Config(method="test_time_training", **settings, seed=seed).resolved(data)
        method: Any = config.build(data.channels, data.length)
        scaling = Scaling.fit(data.x_train, config.scaling, config.scale_group)
        x_train, x_test = scaling(data.x_train), scaling(data.x_test)
        fit(method, x_train, config)
        train_z = evaluate.features(method.encoder, x_train)
        for name, shift in SHIFTS.items():
            x = shift(x_test)
            frozen = evaluate.features(method.encoder, x)
            adapted = torch.cat([method.features(part) for part in x.split(given.batch)])
            for values, z in zip(found[name], (frozen, adapted), strict=True):
                probe = evaluate.linear_probe(
                    train_z, data.y_train, z, data.y_test, grid=(0.1,), groups=data.groups
                )
                values.append(probe.accuracy)
    print(f"{given.set}, {given.seeds} seeds, batches of {given.batch}\n")
    print("| shift of the test series | frozen | adapted |\n| --- | --- | --- |")
    for name, both in found.items():
        cells = [
            f"{statistics.mean(v):.3f}" + (f" ± {statistics.stdev(v):.3f}" if len(v) > 1 else "")
            for v in both
        ]
        print(f"| {name} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
