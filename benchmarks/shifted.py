"""Test-time training under a stated shift: accuracy of one probe with and without adaptation.

    python benchmarks/shifted.py --data DIR --set uwave --seeds 3

An encoder learns by masked reconstruction on the train series, a linear probe on its features. The
test series are then disturbed (white noise in units of each channel's standard deviation over the
train split, or a gain on all channels), and the same probe reads the features of the frozen encoder
and of the encoder after a few steps of masked reconstruction on each test batch. Number and rate of
the steps are chosen inside the train split: learnt on two thirds of its rows (subjects apart where
they are known), by the mean accuracy over all shifts of the last third.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accuracy_recipes import COMMON, SETS
from accuracy_split import held_out
from torch import Tensor

from tsssl_fast import evaluate
from tsssl_fast.data import Dataset, Scaling, load
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
Adaptation = tuple[int, float]  # steps and their rate
FROZEN: Adaptation = (0, 0.01)
GRID: tuple[Adaptation, ...] = (FROZEN, (5, 0.01), (5, 0.1), (20, 0.1), (5, 1.0), (20, 1.0))


def trained(settings: dict[str, Any], data: Dataset, seed: int) -> tuple[Any, Scaling]:
    config = Config(method="test_time_training", **settings, seed=seed).resolved(data)
    method: Any = config.build(data.channels, data.length)
    scaling = Scaling.fit(data.x_train, config.scaling, config.scale_group)
    fit(method, scaling(data.x_train), config.settings())
    return method, scaling


def accuracies(
    method: Any, scaling: Scaling, data: Dataset, batch: int, adaptations: Sequence[Adaptation]
) -> dict[str, list[float]]:
    """By shift, an accuracy on the disturbed test series for every adaptation."""
    train_z = evaluate.features(method.encoder, scaling(data.x_train))
    x_test, found = scaling(data.x_test), {}
    for name, shift in SHIFTS.items():
        x, values = shift(x_test), []
        for method.steps, method.lr in adaptations:
            z = torch.cat([method.features(part) for part in x.split(batch)])
            split = (train_z, data.y_train, z, data.y_test)
            values.append(evaluate.linear_probe(*split, grid=(0.1,)).accuracy)
        found[name] = values
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the .npz files")
    parser.add_argument("--set", choices=SETS, default="uwave")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64, help="test series adapted to together")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = load(given.data / f"{SETS[given.set]}.npz")
    settings = COMMON[given.set] | {"encoder": "patch_transformer"}
    found: dict[str, list[list[float]]] = {name: [] for name in SHIFTS}
    for seed in range(given.seeds):
        part = held_out(data, seed)
        inside = accuracies(*trained(settings, part, seed), part, given.batch, GRID)
        means = [statistics.mean(v) for v in zip(*inside.values(), strict=True)]
        best = GRID[means.index(max(means))]
        print(f"seed {seed}, held-out train rows: ", end="")
        print(", ".join(f"{s} x {lr}: {m:.3f}" for (s, lr), m in zip(GRID, means, strict=True)))
        chosen = accuracies(*trained(settings, data, seed), data, given.batch, (FROZEN, best))
        for name, values in chosen.items():
            found[name].append(values)
    print(f"\n{given.set}, {given.seeds} seeds, batches of {given.batch}\n")
    print("| shift of the test series | frozen | adapted |\n| --- | --- | --- |")
    for name, rows in found.items():
        cells = [
            f"{statistics.mean(v):.3f}" + (f" ± {statistics.stdev(v):.3f}" if len(v) > 1 else "")
            for v in zip(*rows, strict=True)
        ]
        print(f"| {name} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
