"""What an estimator costs beside the command line's training of the same encoder.

    python benchmarks/experiments/estimators.py [--threads 1] [--rounds 5]

`SimCLREncoder().fit(X).transform(X)` and `tsssl-fast pretrain` take turns in one process, both with
their defaults, on BasicMotions as aeon ships it (40 series of 6 channels and 100 steps). Prints
the medians and the ratio to the epochs of the command, whose seconds are those of its `log.csv`;
the bar is 1.1; the exit status is 1 above it. The whole command reads, measures and writes besides.
On one thread: the series are so few that a second one saves little, and beside a busy process the
two wait for each other, so that a round took minutes.
"""

import argparse
import contextlib
import csv
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from tsssl_fast import cli
from tsssl_fast.data import load
from tsssl_fast.estimators import SimCLREncoder

NAME, BAR = "BasicMotions", 1.1


def command(folder: Path) -> tuple[float, float, int]:
    """Seconds of the epochs and of the whole command; epochs."""
    start = time.perf_counter()
    arguments = ["pretrain", "--method", "simclr", "--data", NAME, "--out", str(folder)]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = cli.run(arguments)
    whole = time.perf_counter() - start
    if status:
        raise SystemExit(said.getvalue())
    with (folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    return sum(float(row["seconds"]) for row in rows), whole, len(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    x = load(NAME).x_train.numpy()
    samples: dict[str, list[float]] = {"estimator": [], "epochs": [], "command": []}
    for number in range(arguments.rounds + 1):
        start = time.perf_counter()
        estimator = SimCLREncoder(random_state=0).fit(x)
        estimator.transform(x)
        seconds = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            epochs, whole, count = command(Path(folder) / "run")
        assert count == len(estimator.pretrained_.history), "not the same training"
        took = f"estimator {seconds:.2f} s, epochs {epochs:.2f} s, command {whole:.2f} s"
        print(f"round {number}: {took}", file=sys.stderr, flush=True)
        if number:  # the first warms up
            for name, value in zip(samples, (seconds, epochs, whole), strict=True):
                samples[name].append(value)
    medians = {name: statistics.median(values) for name, values in samples.items()}
    pairs = zip(samples["estimator"], samples["epochs"], strict=True)
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    print(f"{NAME} {tuple(x.shape)}, {count} epochs, {arguments.threads} threads")
    for name, median in medians.items():
        print(f"  {name:>9} {median:.3f} s")
    print(f"estimator / epochs of the command: {ratio:.3f} (bar: at most {BAR})")
    return int(ratio > BAR)


if __name__ == "__main__":
    sys.exit(main())
