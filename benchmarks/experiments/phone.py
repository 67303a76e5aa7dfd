"""From a folder of phone recordings to embeddings, a report and an exported encoder: four commands.

    python benchmarks/experiments/phone.py  # 20 subjects, 10 minutes each
    python benchmarks/experiments/phone.py --har UCI_HAR.npz  # and UCI HAR with 1 % of the labels
    python benchmarks/experiments/phone.py --subjects 6 --minutes 1 --epochs 2

Each recording is a CSV of `time_s, acc_x, acc_y, acc_z, activity` at 50 Hz with pauses (rows that
are missing) and empty cells. Three motions share mean, deviation and amplitude, exactly: a slope
that rises slowly and falls at once, its mirror image in time, and a triangle. Frequency, phase and
gain differ from bout to bout and subject to subject. Printed: seconds of each command, and the
linear probe on held-out subjects of the random and of the pre-trained encoder.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RATE = 50
MOTIONS = ("saw", "mirrored", "triangle")
BOUT = 20.0  # seconds of one motion
NOISE = 0.6  # of the amplitude 1, whose deviation is 0.58
LEAST = 0.05  # what the pre-trained encoder must be better by
READING = ("--window", "4s", "--stride", "2s", "--missing", "linear", "--resample", "50")
RECIPE = ("--method", "simclr", "--encoder", "resnet", "--views", "forward")


def waveform(kind: str, phase: np.ndarray) -> np.ndarray:
    """Values in [-1, 1], all equally often; phase in periods."""
    at = phase % 1.0
    if kind == "saw":
        return 2 * at - 1
    if kind == "mirrored":
        return 1 - 2 * at
    return 4 * np.abs(at - 0.5) - 1


def recording(rng: np.random.Generator, minutes: float) -> str:
    """One subject's CSV."""
    steps = round(minutes * 60 * RATE)
    gain, level = rng.uniform(0.7, 1.3, 3), rng.normal(0, 0.3, 3)
    x, labels = np.empty((3, steps)), np.empty(steps, object)
    size = round(BOUT * RATE)
    kinds: list[str] = []
    while len(kinds) * size < steps:
        kinds += rng.permutation(MOTIONS).tolist()
    for number, start in enumerate(range(0, steps, size)):
        stop = min(start + size, steps)
        kind, frequency = kinds[number], rng.uniform(0.7, 1.4)
        clock = frequency * np.arange(stop - start) / RATE + rng.uniform()
        for channel in range(3):
            x[channel, start:stop] = waveform(kind, clock + channel / 3)
        labels[start:stop] = kind
    x = x * gain[:, None] + level[:, None] + NOISE * rng.normal(size=x.shape)
    kept = np.ones(steps, bool)
    for start in rng.integers(0, steps - RATE, max(1, round(minutes / 2))):
        kept[start : start + rng.integers(10, RATE)] = False  # a pause
    empty = rng.random(x.shape) < 0.002
    lines = ["time_s,acc_x,acc_y,acc_z,activity"]
    for step in np.flatnonzero(kept):
        cells = ["" if empty[c, step] else f"{x[c, step]:.3f}" for c in range(3)]
        lines.append(f"{step / RATE:.2f},{','.join(cells)},{labels[step]}")
    return "\n".join(lines) + "\n"


def make(folder: Path, subjects: int, minutes: float, seed: int = 0) -> None:
    """A file for each subject."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(subjects):
        rng = np.random.default_rng((seed, number))
        (folder / f"subject{number:02d}.csv").write_text(recording(rng, minutes))


def commands(data: Path, out: Path, epochs: int, *more: str) -> list[list[str]]:
    """pretrain, evaluate, embed, export; what is said of the data stays in the checkpoint."""
    run, settings = str(out / "run"), (*RECIPE, "--epochs", str(epochs), *more)
    found = ("--checkpoint", run, "--data", str(data))
    return [
        ["pretrain", "--data", str(data), "--out", run, *settings],
        ["evaluate", *found, "--report", str(out / "report"), "--json"],
        ["embed", *found, "--out", str(out / "embeddings.npz")],
        ["export", "--checkpoint", run, "--out", str(out / "encoder.pt2")],
    ]


def walk(data: Path, out: Path, epochs: int, *more: str) -> tuple[dict[str, object], float]:
    """Runs the commands as processes; what evaluate prints, and the seconds of all."""
    evaluated: dict[str, object] = {}
    begin = time.perf_counter()
    for command in commands(data, out, epochs, *more):
        start = time.perf_counter()
        words = [sys.executable, "-m", "tsssl_fast", *command]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        print(f"tsssl-fast {' '.join(command)}: {time.perf_counter() - start:.1f} s", flush=True)
        if command[0] == "evaluate":
            evaluated = json.loads(done.stdout)
    return evaluated, time.perf_counter() - begin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--har", type=Path, help="UCI_HAR.npz")
    parser.add_argument("--har-epochs", type=int, default=20)
    given = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root / "phone", given.subjects, given.minutes, given.seed)
        reading = (*READING, "--test-share", "0.3")
        found, seconds = walk(root / "phone", root / "out", given.epochs, *reading)
        accuracy: object = found["accuracy"]
        assert isinstance(accuracy, dict)
        random, trained = (row["linear probe"] for row in accuracy.values())
        print(f"linear probe: random {random:.3f}, pre-trained {trained:.3f}; {seconds:.0f} s")
        missed += trained < random + LEAST
        if given.har is not None:
            found, seconds = walk(given.har, root / "har", given.har_epochs)
            shares: object = found["label_shares"]
            assert isinstance(shares, dict)
            random, trained = (row["0.01"] for row in shares.values())
            print(f"UCI HAR, 1 % of the labels: random {random:.3f}, pre-trained {trained:.3f}")
            missed += trained < random + LEAST
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
