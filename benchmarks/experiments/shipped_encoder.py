"""Accuracy of the encoder that ships, nothing trained, beside the same encoder untrained.

    S=benchmarks/experiments/shipped_encoder.py
    python $S --data DIR                  # every set that DIR holds
    python $S --data DIR --sets Epilepsy  # some; others stay as stored
    python $S --write docs/results.md     # the tables of what is stored

Features of frozen encoders, official splits; channels scaled by the train split; ridge regression
to one-against-rest targets on standardised features, alpha by leave-one-out inside the train rows
(10^-3 to 10^4). `5 labels`: five train rows of each class, mean over draws. MiniRocket's features
are aeon's, as it has them by default (Dempster et al., KDD 2021); series of unequal length are
padded for it with their last value.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tsssl_fast import encoders, evaluate
from tsssl_fast.data import Dataset, load
from tsssl_fast.training import scaling_of

DATA = Path(__file__).parents[1] / "data"
STORE = DATA / "shipped_encoder.json"
NAME = "generated-1"
ALPHAS = np.logspace(-3, 4, 15)
DRAWS, LABELS = 20, 5
MOST_ROWS = 3000  # with MiniRocket: ridge of 10,000 features takes minutes beyond
KINDS = ("untrained", NAME, "MiniRocket", "MiniRocket + untrained", f"MiniRocket + {NAME}")
ALONE = KINDS[:3]
BEGIN, END = "<!-- shipped encoder: begin -->", "<!-- shipped encoder: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of .npz files and folders of .ts files")
    parser.add_argument("--sets", nargs="+", help="of that folder; all by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--seed", type=int, default=0, help="of the untrained encoder")
    parser.add_argument("--store", type=Path, default=STORE)
    parser.add_argument("--write", type=Path, help="put the tables between a file's marks")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for name, files in sets(given.data, given.sets).items():
        record = measured(load_set(files), given.draws, given.seed)
        stored = read(given.store)
        stored[name] = record
        given.store.write_text(json.dumps(stored, indent=1) + "\n")
        print(name, json.dumps(record), flush=True)
    text = tables(read(given.store))
    print(text)
    if given.write:
        before, rest = given.write.read_text().split(BEGIN)
        given.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def sets(folder: Path | None, wanted: list[str] | None) -> dict[str, Path]:
    """Name -> file; of a set that is there twice the .npz file."""
    if folder is None:
        return {}
    found = {p.parent.name: p for p in sorted(folder.glob("*/*_TRAIN.ts"))}
    found |= {p.stem: p for p in sorted(folder.glob("*.npz"))}
    missing = set(wanted or ()) - set(found)
    if missing:
        raise SystemExit(f"sets: {', '.join(sorted(missing))}; accepted: {', '.join(found)}")
    return {name: file for name, file in found.items() if not wanted or name in wanted}


def load_set(file: Path) -> Dataset:
    return load(str(file), unequal="pad") if file.suffix == ".ts" else load(str(file))


def untrained(seed: int, channels: int) -> encoders.ReadOut:
    """The encoder of NAME before its first step, with the same read-out."""
    like = encoders.pretrained(NAME, channels)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        built = encoders.weights.about(NAME)["encoder"]
        return encoders.ReadOut(encoders.Channelwise(1, **built), channels, like.lengths).eval()


def features(encoder: encoders.ReadOut, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    scaling = scaling_of(data)
    parts = ((data.x_train, data.lengths_train), (data.x_test, data.lengths_test))
    train, test = (
        evaluate.features(encoder, scaling(x), lengths=lengths).numpy() for x, lengths in parts
    )
    return train, test


def minirocket(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    from aeon.transformations.collection.convolution_based import MiniRocket

    train, test = (
        held(x, lengths)
        for x, lengths in (
            (data.x_train, data.lengths_train),
            (data.x_test, data.lengths_test),
        )
    )
    model = MiniRocket(random_state=0, n_jobs=torch.get_num_threads()).fit(train)
    return tuple(np.asarray(model.transform(x), np.float32) for x in (train, test))  # type: ignore[return-value]


def held(x: torch.Tensor, lengths: torch.Tensor | None) -> np.ndarray:
    """(N, C, T) float32, the last value of each series after its end; 9 steps at least."""
    rows = x.float().numpy().copy()
    if lengths is not None:
        for row, n in zip(rows, lengths.tolist(), strict=True):
            row[:, n:] = row[:, n - 1 : n]
    short = max(0, 9 - rows.shape[2])
    return np.pad(rows, ((0, 0), (0, 0), (0, short)), mode="edge")


def ridge(train: np.ndarray, y: np.ndarray) -> Any:
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ill-conditioned systems at the least alphas
        return make_pipeline(StandardScaler(), RidgeClassifierCV(ALPHAS)).fit(train, y)


def measured(data: Dataset, draws: int, seed: int) -> dict[str, Any]:
    y, truth = data.y_train.numpy(), data.y_test.numpy()
    start = time.perf_counter()
    shipped = features(encoders.pretrained(NAME, data.channels), data)
    seconds = time.perf_counter() - start
    found = {"untrained": features(untrained(seed, data.channels), data), NAME: shipped}
    if len(y) <= MOST_ROWS:
        found["MiniRocket"] = minirocket(data)
        for kind in ("untrained", NAME):
            pairs = zip(found["MiniRocket"], found[kind], strict=True)
            both = [np.concatenate(pair, axis=1) for pair in pairs]
            found[f"MiniRocket + {kind}"] = (both[0], both[1])
    accuracy = {
        kind: float((ridge(train, y).predict(test) == truth).mean())
        for kind, (train, test) in found.items()
    }
    few: dict[str, float] = {}
    for kind in [k for k in ALONE if k in found]:
        train, test = found[kind]
        hits = []
        for draw in range(draws):
            rows = few_rows(y, draw)
            hits.append(float((ridge(train[rows], y[rows]).predict(test) == truth).mean()))
        few[kind] = float(np.mean(hits))
    return {
        "series": [len(y), len(truth)],
        "shape": [data.channels, data.length],
        "classes": len(data.classes),
        "features": shipped[0].shape[1],
        "seconds": round(seconds, 1),
        "accuracy": accuracy,
        "few": few,
    }


def few_rows(y: np.ndarray, draw: int) -> np.ndarray:
    """Five rows of each class, all where there are fewer."""
    rng = np.random.default_rng(draw)
    return np.concatenate([rng.permutation(np.nonzero(y == c)[0])[:LABELS] for c in np.unique(y)])


def tables(stored: dict[str, Any]) -> str:
    """Accuracy with all labels and with five a class; means over all sets, and over those that have
    every column."""
    lines = []
    for title, field, kinds in (
        ("all labels", "accuracy", KINDS),
        (f"{LABELS} labels a class", "few", ALONE),
    ):
        rows = {name: record[field] for name, record in sorted(stored.items())}
        whole = [row for row in rows.values() if len(row) == len(kinds)]
        rows[f"mean of {len(stored)}"] = means(list(rows.values()), kinds)
        if 0 < len(whole) < len(stored):
            rows[f"mean of the {len(whole)} with MiniRocket"] = means(whole, kinds)
        lines += [f"| {title} | {' | '.join(kinds)} |", f"| --- {'| --- ' * len(kinds)}|"]
        for name, row in rows.items():
            cells = (f"{row[kind]:.3f}" if kind in row else "-" for kind in kinds)
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines).strip()


def means(rows: list[dict[str, float]], kinds: tuple[str, ...]) -> dict[str, float]:
    """Of the columns that every row has."""
    return {k: float(np.mean([r[k] for r in rows])) for k in kinds if all(k in r for r in rows)}


if __name__ == "__main__":
    main()
