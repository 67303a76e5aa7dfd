"""Resident memory of `pretrain` and `embed` over the size of the array.

    python benchmarks/experiments/data_memory.py                  # 500 MB of each form
    python benchmarks/experiments/data_memory.py --megabytes 50 --forms csv npy

Each form is made with a seed in a temporary folder and read by a child process through the command
line. Counted is what a command's peak has above the start of the command (imports), less what the
same command takes for 600 series (batches, activations, libraries). The array is what the file
means: 8 bytes for a number of text or Parquet, 4 for the float32 arrays. Of a mapped file, the
pages that happen to be in memory count, too; "private" leaves those out, which the system takes
back when it needs them. The bars: 2.5 of the array for tables, 1.1 for arrays; the exit status is 1
above one.
"""

import argparse
import itertools
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

CHANNELS, STEPS = 6, 400
TEXT = {"csv": 2.5, "parquet": 2.5}
BARS = {
    **TEXT,
    "npy": 1.1,
    "folder": 1.1,
    "npz": 1.1,
    "windows": 1.1,
}  # windows: of the .npy, each step in two of them
RECIPE = ("--epochs", "1", "--encoder", "resnet", "--views", "noise", "--batch-size", "8")
FEW = 600  # series of the run before: imports, and what computing takes at any size
TRAINED = 64  # series of an epoch: more take time, not memory


def make(form: str, megabytes: float, folder: Path) -> tuple[Path, float]:
    """A file or folder of about so many MB, and the MB of its array."""
    rng = np.random.default_rng(0)
    if form in TEXT:
        return _table(form, megabytes, folder, rng)
    n = round(megabytes * 1e6 / 4 / CHANNELS / STEPS)
    kind: dict[str, object] = {"dtype": np.float32, "mode": "w+", "shape": (n, CHANNELS, STEPS)}
    x = np.lib.format.open_memmap(folder / "x.npy", **kind)
    for start in range(0, n, 1000):
        x[start : start + 1000] = rng.normal(size=x[start : start + 1000].shape)
    if form in ("npy", "windows"):
        return folder / "x.npy", x.nbytes / 1e6
    parts = folder / "parts"
    parts.mkdir()
    ends = np.linspace(0, n, 5).astype(int)
    if form == "folder":
        for number, (a, b) in enumerate(itertools.pairwise(ends)):
            np.save(parts / f"part{number}.npy", x[a:b])
        return parts, x.nbytes / 1e6
    np.savez(folder / "x.npz", X=x)
    return folder / "x.npz", x.nbytes / 1e6


def _table(
    form: str, megabytes: float, folder: Path, rng: np.random.Generator
) -> tuple[Path, float]:
    """A row per step with series, subject, time, channels and a label of each series."""
    import pandas as pd

    path, part = folder / f"x.{form}", 50
    writer, rows, number = None, 0, 0
    while not path.exists() or path.stat().st_size < megabytes * 1e6:
        series = np.repeat(np.arange(number, number + part), STEPS)
        values = rng.normal(size=(len(series), CHANNELS))
        time = np.tile(np.arange(STEPS), part) / 50
        columns = {"series": series, "subject": series // 50, "time_s": time}
        columns |= {f"c{c}": values[:, c].round(5) for c in range(CHANNELS)}
        table = pd.DataFrame(columns | {"label": np.array(["rest", "walk"])[series % 2]})
        if form == "csv":
            table.to_csv(path, mode="a", header=not rows, index=False)
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            found = pa.Table.from_pandas(table, preserve_index=False)
            writer = writer or pq.ParquetWriter(path, found.schema)
            writer.write_table(found)
        number, rows = number + part, rows + len(table)
    if writer is not None:
        writer.close()
    return path, rows * CHANNELS * 8 / 1e6


def child(small: str, data: str, out: str, *options: str) -> None:
    """Runs the commands on a few series, then on all; prints the growth of the resident set in MB
    while each command ran, all of it and without pages of files.
    """
    from tsssl_fast import cli
    from tsssl_fast.training import loop

    whole_order = loop.order
    setattr(loop, "order", lambda *given: whole_order(*given)[:TRAINED])  # noqa: B010
    for place, name in ((f"{out}/first", small), (f"{out}/run", data)):
        commands = (
            ("pretrain", "--data", name, "--out", place, *RECIPE, *options),
            ("embed", "--checkpoint", place, "--data", name, "--out", f"{place}/e.npz"),
        )
        for command in commands:
            before = {field: _status(field) for field in ("VmRSS", "RssAnon")}
            Path("/proc/self/clear_refs").write_text("5")  # the high-water mark restarts here
            with Watch() as watch:
                if cli.run(command):
                    raise SystemExit(f"{command} failed")
            whole = _status("VmHWM") - before["VmRSS"]
            print("MEASURED", command[0], whole, watch.most - before["RssAnon"], flush=True)


class Watch:
    """The largest RssAnon meanwhile, looked at every 20 ms."""

    def __enter__(self) -> "Watch":
        self.most, self.over = 0.0, threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def _look(self) -> None:
        while not self.over.wait(0.02):
            self.most = max(self.most, _status("RssAnon"))

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()


def _status(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def measure(form: str, megabytes: int, root: Path) -> list[tuple[str, float, float, float]]:
    """(command, MB of the array, whole growth, growth without pages of files)."""
    for name in ("small", "large", "out"):
        (root / name).mkdir()
    small, _ = make(form, FEW * CHANNELS * STEPS * 4 / 1e6, root / "small")
    data, size = make(form, megabytes, root / "large")
    options = ("--window", "400", "--stride", "200") if form == "windows" else ()
    paths = [str(path) for path in (small, data, root / "out")]
    done = subprocess.run(
        [sys.executable, __file__, "--child", *paths, *options],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("MEASURED")]
    rows = [(name, float(whole), float(own)) for name, whole, own in lines]
    return [
        (name, size, whole - rows[place][1], own - rows[place][2])
        for place, (name, whole, own) in enumerate(rows[2:])
    ]


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--forms", nargs="+", choices=BARS, default=list(BARS))
    chosen = parser.parse_args()
    print(f"{'form':<8} {'command':<9} {'array MB':>9} {'x array':>8} {'private':>8} {'bar':>5}")
    missed = 0
    for form in chosen.forms:
        with tempfile.TemporaryDirectory() as folder:
            for name, size, whole, own in measure(form, chosen.megabytes, Path(folder)):
                missed += whole > BARS[form] * size
                print(
                    f"{form:<8} {name:<9} {size:>9.0f} {whole / size:>8.2f} {own / size:>8.2f} "
                    f"{BARS[form]:>5}" + ("  MISSED" if whole > BARS[form] * size else ""),
                    flush=True,
                )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
