"""The encoder that ships, trained on series that were never measured.

    python -m tsssl_fast.training.generated --out DIR --threads 2
    python -m tsssl_fast.training.generated --out DIR --resume      # where it stopped

SimCLR on `data.generated` series of 256 steps; a view is a crop of 60 to 100 % of a series with
noise, on 128 steps, standardised (`views.generated`). It is a run like any other: `checkpoint.pt`
and `log.csv` in DIR after every epoch, exact resume, the same bits from the same seed on the same
machine with the same number of threads; the loss of held-out series is told at the end. `--weights
NAME.pt` writes what a package ships (`encoders.weights`).
"""

import argparse
import csv
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.common import checks
from tsssl_fast.data import Dataset, generated
from tsssl_fast.encoders.weights import write
from tsssl_fast.methods import Batch, Method
from tsssl_fast.training import checkpoint
from tsssl_fast.training.config import Config
from tsssl_fast.training.loop import fold
from tsssl_fast.training.pretrain import LOG, Run, pretrain

_log = logging.getLogger("tsssl_fast")

LENGTH, HELD_OUT = 256, 1024
SERIES = 76_800  # of an epoch: 300 steps, 79 MB


def held_out_loss(method: Method, x: Tensor, batch_size: int = 256) -> float:
    """Mean loss of series (N, C, T) with the views of step 0, in evaluation mode."""
    training = method.training
    method.eval()
    rows = torch.arange(len(x)).split(batch_size)
    with torch.no_grad():
        losses = [method.loss(Batch(x[ids], ids, fold(0, i)))[0] for i, ids in enumerate(rows)]
    method.train(training)
    return float(torch.stack(losses).mean())


def config(steps: int, seed: int = 0, batch_size: int = 256, series: int = SERIES) -> Config:
    """The settings of a run of about so many steps; whole epochs, at least one."""
    per_epoch = max(1, series // batch_size)
    return Config(
        method="simclr",
        encoder="channelwise",
        views="generated",
        options={"temperature": 0.1},
        scaling="none",
        epochs=max(1, round(steps / per_epoch)),
        batch_size=batch_size,
        seed=seed,
    )


def train(
    out: str | Path,
    steps: int = 2400,
    seed: int = 0,
    *,
    batch_size: int = 256,
    series: int = SERIES,
    resume: bool = False,
    overwrite: bool = False,
    max_time: float | None = None,
    weights: str | Path | None = None,
) -> Run:
    """Trains in folder `out`, a line in the log for every epoch.

    max_time: seconds after which it stops with the epoch, to be resumed. weights: NAME.pt, which is
    written at the end of the last epoch, with NAME.json. Raises as `training.pretrain`.
    """
    for name, value, least in (("steps", steps, 1), ("batch_size", batch_size, 2)):
        checks.at_least(name, value, least)
    series = min(series, steps * batch_size)
    settings = config(steps, seed, batch_size, series)
    x = generated(series, LENGTH, seed)
    held_out = generated(HELD_OUT, LENGTH, fold(seed, 1) >> 1)
    none = torch.full((series,), -1)
    data = Dataset("generated", x, none, x[:0], none[:0], ())
    settings = settings.resolved(data)

    def progress(row: dict[str, float]) -> None:
        _log.info(
            "epoch %d/%d, step %d: loss %.4f, rank %.1f, %.0f s",
            *(int(row["epoch"]) + 1, settings.epochs, int(row["step"]), row["loss"]),
            *(row.get("effective_rank", float("nan")), row["seconds"]),
        )

    run = pretrain(
        data,
        settings,
        out,
        resume=resume,
        overwrite=overwrite,
        checkpoint_every=1,
        progress=progress,
        max_time=max_time,
    )
    before = held_out_loss(settings.build(1, LENGTH), held_out)
    after = held_out_loss(run.method, held_out)
    _log.info("loss of held-out series %.4f -> %.4f", before, after)
    if weights is not None:
        _write(Path(weights), Path(out), run, before, after)
    return run


def _write(weights: Path, out: Path, run: Run, before: float, after: float) -> None:
    """What ships, of a run that is complete."""
    content = checkpoint.read(out)
    if content["epoch"] < run.config.epochs:
        _log.info("weights: none written before the last epoch; --resume goes on")
        return
    with (out / LOG).open(newline="") as file:
        log = list(csv.DictReader(file))
    encoder: Any = run.method.encoder
    known = {
        "config": content["config"],
        "data": {k: content["data"][k] for k in ("name", "length", "train_series", "digest")},
        "versions": {"tsssl_fast": content["version"], "torch": torch.__version__},
        "held_out_loss": {"before": before, "after": after},
        "log": [{k: float(row[k]) for k in ("step", "loss", "effective_rank")} for row in log],
    }
    write(weights, encoder, known)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; `--help` lists its options."""
    parser = argparse.ArgumentParser(prog="python -m tsssl_fast.training.generated")
    parser.add_argument("--out", required=True, type=Path, help="folder of the run")
    parser.add_argument("--steps", type=int, default=2400, help="rounded to whole epochs")
    parser.add_argument("--series", type=int, default=SERIES, help="generated for all epochs")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None, help="of torch; its own by default")
    parser.add_argument("--max-time", type=float, default=None, help="seconds; --resume goes on")
    parser.add_argument("--weights", type=Path, default=None, help="NAME.pt, what a package ships")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    given = vars(parser.parse_args(arguments))
    threads = given.pop("threads")
    logging.basicConfig(format="%(message)s")
    _log.setLevel(logging.INFO)
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        train(**given)
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
