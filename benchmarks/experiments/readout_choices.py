"""Which read-out of the encoder that ships: accuracy over folds of the train splits alone.

    python benchmarks/experiments/readout_choices.py --data DIR

Read-outs differ in scale (`given`: on the channel's scale, `own`: each series standardised, `both`)
and in the grids' lengths; all are projected to 2,048 features as `encoders.ReadOut` does. Ridge
with leave-one-out, five folds, subjects apart where the file has them; of large sets some rows.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shipped_encoder import NAME, load_set, ridge, sets, untrained

from tsssl_fast import encoders
from tsssl_fast.data import Dataset
from tsssl_fast.encoders import readout
from tsssl_fast.encoders.resample import resample, standardized
from tsssl_fast.training import scaling_of

LENGTHS = (64, 128, 256)
CHOICES = {
    "own, 128": (("own",), (128,)),
    "given, 128": (("given",), (128,)),
    "both, 128": (("own", "given"), (128,)),
    "both, 64 and 128": (("own", "given"), (64, 128)),
    "both, 128 and 256": (("own", "given"), (128, 256)),
}
MOST_ROWS, MOST_CHANNELS = 500, 4000  # of a set: series, and their channels together


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows: dict[str, dict[str, float]] = {}
    for name, file in sets(given.data, given.sets).items():
        data, groups = some(load_set(file), file)
        for kind in ("untrained", NAME):
            found = accuracies(kind, data, groups)
            rows[f"{name}, {kind}"] = found
            print(f"{name}, {kind}:", {k: round(v, 3) for k, v in found.items()}, flush=True)
    print(f"| mean | {' | '.join(CHOICES)} |")
    for kind in ("untrained", NAME):
        of_kind = [row for name, row in rows.items() if name.endswith(f", {kind}")]
        cells = (f"{np.mean([row[c] for row in of_kind]):.3f}" for c in CHOICES)
        print(f"| {kind} | {' | '.join(cells)} |")


def some(data: Dataset, file: Path) -> tuple[Dataset, np.ndarray | None]:
    """Train rows, drawn where there are many, and their subjects."""
    n = len(data.x_train)
    most = min(n, MOST_ROWS, MOST_CHANNELS // data.channels)
    rows = torch.randperm(n, generator=torch.Generator().manual_seed(0))[:most]
    groups = None
    if file.suffix == ".npz":
        with np.load(file, allow_pickle=False) as arrays:
            groups = arrays["subject_train"][rows] if "subject_train" in arrays else None
    lengths = data.lengths_train
    return replace(
        data,
        x_train=data.x_train[rows],
        y_train=data.y_train[rows],
        lengths_train=None if lengths is None else lengths[rows],
        groups=None,
        ids_train=(),
    ), groups


@torch.inference_mode()
def accuracies(kind: str, data: Dataset, groups: np.ndarray | None) -> dict[str, float]:
    x, lengths = scaling_of(data)(data.x_train), data.lengths_train
    channels = data.channels
    read: Any = (
        untrained(0, channels) if kind == "untrained" else encoders.pretrained(kind, channels)
    )
    parts, n = {}, len(x)
    for steps in LENGTHS:
        grid = resample(x, steps, lengths)
        for scale, y in (("given", grid), ("own", standardized(grid))):
            pooled = [read._of_rows(some) for some in y.reshape(-1, steps).split(readout.ROWS)]
            parts[scale, steps] = torch.cat(pooled).reshape(n, -1)
    moments = readout._moments(x, lengths)
    found = {}
    for choice, (scales, grids) in CHOICES.items():
        maps = torch.cat([parts[scale, steps] for steps in grids for scale in scales], dim=1)
        if maps.shape[1] + moments.shape[1] > readout.LIMIT:
            maps = readout._projected(maps, readout.LIMIT - moments.shape[1])
        z = torch.cat([maps, moments], dim=1).numpy()
        found[choice] = over_folds(z, data.y_train.numpy(), groups)
    return found


def over_folds(z: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> float:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    hits = 0
    for train, test in kind(5, shuffle=True, random_state=0).split(z, y, groups):
        hits += int((ridge(z[train], y[train]).predict(z[test]) == y[test]).sum())
    return hits / len(y)


if __name__ == "__main__":
    main()
