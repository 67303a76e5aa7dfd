"""A run in a folder: `checkpoint.pt` and `log.csv`, and how to go on with it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsssl_fast.data import Dataset, Scaling
from tsssl_fast.methods import Method
from tsssl_fast.training import checkpoint
from tsssl_fast.training.config import Config
from tsssl_fast.training.loop import State, check_rows, fit
from tsssl_fast.training.monitor import Monitor
from tsssl_fast.training.profile import StepProfile
from tsssl_fast.training.writer import LOG, Writer

__all__ = ["LOG", "Progress", "Run", "describe", "pretrain"]

Progress = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class Run:
    """A trained method with the scaling of its input, and the resolved configuration."""

    method: Method
    scaling: Scaling
    config: Config


def pretrain(
    data: Dataset,
    config: Config,
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    checkpoint_every: int = 0,
    progress: Progress | None = None,
    monitor: bool = True,
    tensorboard: bool = False,
    profile: StepProfile | None = None,
) -> Run:
    """Trains on the train split's series and leaves `checkpoint.pt` and `log.csv` in folder `out`.

    Args:
        resume: continue from the checkpoint in `out` where there is one. The finished run equals an
            uninterrupted one bit for bit, on the same machine with the same number of threads.
        overwrite: start anew where `out` holds a checkpoint; the old one stays until the first new
            one.
        checkpoint_every: epochs between checkpoints; 0: a tenth of the run. One is always written
            at the end; an interrupted run goes on from the last one.
        progress: called with each epoch's means.
        monitor: log effective rank, uniformity, spread and, with labels, leave-one-out kNN accuracy
            of the features of up to 512 train series after each epoch, and warn on collapse.
        tensorboard: write the log as TensorBoard events, too.
        profile: takes the time of every step's parts.

    Raises:
        FileExistsError: `out` holds a checkpoint, and neither resume nor overwrite.
        ValueError: the checkpoint is of another configuration or other data; labels missing; a
            batch size that does not fit. Nothing has been written then.
        ImportError: tensorboard without tensorboardX or tensorboard.
    """
    out = Path(out)
    if resume and overwrite:
        raise ValueError("resume, overwrite: both are True; accepted: one of them")
    config = config.resolved(data)
    method = config.build(data.channels, data.length)
    check_rows(method, len(data.x_train), config)
    if method.needs_labels and not data.classes:
        raise ValueError(f"data: no labels; method {config.method} needs them")
    scaling = Scaling.fit(data.x_train, config.scaling, config.scale_group)
    description = describe(data)
    state = None
    if (out / checkpoint.NAME).exists() and not overwrite:
        if not resume:
            raise FileExistsError(
                f"out: {out} holds a checkpoint; accepted: an empty folder, resume or overwrite"
            )
        state = _continue(checkpoint.read(out), config, description, out)
    if profile is not None and config.accumulate > 1:
        raise ValueError(f"profile: accumulate is {config.accumulate}; accepted: 1")
    writer = Writer(out, config, description, scaling, state.epoch if state else 0, tensorboard)
    every = checkpoint_every or max(1, config.epochs // 10)

    def on_epoch(row: dict[str, float], take: Callable[[], State]) -> None:
        writer.log(row)
        done = int(row["epoch"]) + 1
        if done % every == 0 or done == config.epochs:
            writer.checkpoint(take())
        if progress is not None:
            progress(row)

    x, labels = scaling(data.x_train), data.y_train if data.classes else None
    fit(
        method,
        x,
        config,
        labels=labels,
        state=state,
        on_epoch=on_epoch,
        monitor=Monitor(x, labels) if monitor else None,
        profile=profile,
    )
    writer.close()
    return Run(method, scaling, config)


def describe(data: Dataset) -> dict[str, Any]:
    """What a checkpoint remembers of its data: names, sizes and a digest of the train series."""
    return {
        "name": data.name,
        "channels": data.channels,
        "length": data.length,
        "classes": list(data.classes),
        "train_series": len(data.x_train),
        "digest": hashlib.blake2b(data.x_train.numpy().data, digest_size=16).hexdigest(),
    }


def _continue(
    content: dict[str, Any], config: Config, description: dict[str, Any], out: Path
) -> State:
    """The state in a checkpoint, if it is of the same run."""
    if "finetuned" in content:
        raise ValueError(f"resume: {out} is a fine-tuned run; accepted: one of pretrain")
    # A setting that the checkpoint's version did not have stood at its default.
    given, saved = config.as_dict(), Config().as_dict() | content["config"]
    different = [f"{k}={given[k]!r} (was {saved[k]!r})" for k in given if given[k] != saved[k]]
    if different:
        raise ValueError(f"resume: {out} is a run with other settings: {', '.join(different)}")
    if content["data"]["digest"] != description["digest"]:
        raise ValueError(
            f"resume: {out} is a run on {content['data']['name']} with other train series"
        )
    return State(content["epoch"], content["model"], content["optimizer"])
