"""A run in a folder: `checkpoint.pt` and `log.csv`, and how to go on with it."""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from tsssl_fast.data import Dataset, Reading, Scaling, Series
from tsssl_fast.data.scaling import constant_channels
from tsssl_fast.data.stored import blocks, unless_small
from tsssl_fast.encoders.padding import takes_lengths
from tsssl_fast.methods import Method
from tsssl_fast.training import checkpoint
from tsssl_fast.training.config import Config
from tsssl_fast.training.devices import device
from tsssl_fast.training.lock import locked
from tsssl_fast.training.loop import State, check_rows, fit, rate
from tsssl_fast.training.monitor import Monitor
from tsssl_fast.training.profile import StepProfile
from tsssl_fast.training.writer import LOG, Writer

__all__ = ["LOG", "Progress", "Run", "describe", "pretrain", "scaling_of"]

_log = logging.getLogger("tsssl_fast")

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
    max_time: float | None = None,
    reading: Reading | None = None,
    texts: Sequence[str] | None = None,
) -> Run:
    """Trains on the train split's series and leaves `checkpoint.pt` and `log.csv` in folder `out`.

    Args:
        resume: continue from the checkpoint in `out` where there is one. The finished run equals an
            uninterrupted one bit for bit, on the same machine with the same number of threads.
            With more epochs than it had, the learning rate follows the schedule of all epochs from
            there on, which is told: it rises again.
        overwrite: start anew where `out` holds a checkpoint; the old one stays until the first new
            one.
        checkpoint_every: epochs between checkpoints; 0: a tenth of the run. One is always written
            at the end; an interrupted run goes on from the last one.
        progress: called with each epoch's means.
        monitor: log effective rank, uniformity, spread and, with labels, leave-one-out kNN accuracy
            of the features of up to 512 train series after each epoch, and warn on collapse.
        tensorboard: write the log as TensorBoard events, too.
        profile: takes the time of every step's parts.
        max_time: seconds after which the run ends with the epoch, and a checkpoint to resume from.
        reading: how the data was read, for the checkpoint: later commands read alike.
        texts: one for each train series, in their order, of method clip; an empty one is missing.

    A method that learns from labels gets the series that have one, others all.

    Raises:
        FileExistsError: `out` holds a checkpoint, and neither resume nor overwrite; or another run
            is writing there.
        ValueError: the checkpoint is of another configuration or other data; labels missing; a
            batch size or device that does not fit. Nothing has been written then.
        NotADirectoryError: `out` is a file.
        ImportError: tensorboard without tensorboardX or tensorboard.
    """
    out = Path(out)
    if resume and overwrite:
        raise ValueError("resume: with overwrite=True; accepted: one of them")
    data = config.usable(data)
    config = config.resolved(data)
    device(config.device)
    method = config.build(data.channels, data.length, texts=_checked(texts, data))
    check_rows(method, len(data.x_train), config)
    scaling = scaling_of(data, config.scaling, config.scale_group)
    _name_constant_channels(data)
    reading = reading or Reading()
    description = _with_texts(describe(data, reading), texts)
    state = None
    if (out / checkpoint.NAME).exists() and not overwrite:
        if not resume:
            raise FileExistsError(
                f"out: {out} holds a checkpoint; accepted: another, resume=True or overwrite=True"
            )
        content = checkpoint.read(out)
        state = _continue(content, config, description, out)
        # Earlier versions fitted it on padding too.
        scaling = Scaling(*(content["scaling"][name].double() for name in ("shift", "scale")))
    if profile is not None and config.accumulate > 1:
        raise ValueError(f"profile: accumulate is {config.accumulate}; accepted: 1")
    every = checkpoint_every or max(1, config.epochs // 10)
    series: Any = data.x_train
    if device(config.device).type == "cpu":  # a GPU holds them, its host does not
        series = unless_small(series)
    x, labels = scaling(series), data.y_train if data.classes else None
    lengths = _lengths(method, data, config)
    start = time.monotonic()
    with locked(out):
        writer = Writer(
            *(out, config, description, scaling, reading),
            epochs=state.epoch if state else 0,
            tensorboard=tensorboard,
        )

        def on_epoch(row: dict[str, float], take: Callable[[], State]) -> bool:
            writer.log(row)
            done = int(row["epoch"]) + 1
            late = max_time is not None and time.monotonic() - start >= max_time
            if done % every == 0 or done == config.epochs or late:
                writer.checkpoint(take())
            if progress is not None:
                progress(row)
            return late

        fit(
            method,
            x,
            config,
            labels=labels,
            lengths=lengths,
            state=state,
            on_epoch=on_epoch,
            monitor=Monitor(x, labels, lengths=lengths) if monitor else None,
            profile=profile,
        )
        writer.close()
    return Run(method, scaling, config)


def scaling_of(data: Dataset, kind: str = "standard", group: int = 1) -> Scaling:
    """Fitted on the steps of the train series that are no padding. Raises as `Scaling.fit`."""
    return Scaling.fit(data.x_train, kind, group, data.lengths_train)


def _checked(texts: Sequence[str] | None, data: Dataset) -> Sequence[str] | None:
    if texts is not None and len(texts) != len(data.x_train):
        accepted = f"one for each of the {len(data.x_train)} train series"
        raise ValueError(f"texts: {len(texts)} lines; accepted: {accepted}")
    return texts


def _with_texts(description: dict[str, Any], texts: Sequence[str] | None) -> dict[str, Any]:
    """The digest is of series and texts: a run does not go on with others."""
    if texts is None:
        return description
    said = "\n".join([description["digest"], *texts]).encode()
    return description | {"digest": hashlib.blake2b(said, digest_size=16).hexdigest()}


def _name_constant_channels(data: Dataset) -> None:
    still = constant_channels(data.x_train)
    if still:
        names = [data.channel_names[c] if data.channel_names else str(c) for c in still]
        _log.warning("data: channels %s are constant in the train split", ", ".join(names))


def _lengths(method: Method, data: Dataset, config: Config) -> Tensor | None:
    """Of the train series, where method and encoder take them; it is told where they do not."""
    lengths = data.lengths_train
    if lengths is None or (method.takes_lengths and takes_lengths(method.encoder)):
        return lengths
    _log.info(
        "lengths: %s with %s takes padded steps for the series' own",
        *(config.method, config.encoder),
    )
    return None


def describe(data: Dataset, reading: Reading | None = None) -> dict[str, Any]:
    """What a checkpoint remembers of its data: names, sizes, Hz, how the test split was drawn, and
    a digest of the train series."""
    drawn = reading or Reading()
    return {
        "name": data.name,
        "channels": data.channels,
        "length": data.length,
        "classes": list(data.classes),
        "channel_names": list(data.channel_names),
        "rate": data.rate,
        "test_share": drawn.test_share,
        "split_seed": drawn.split_seed,
        "train_series": len(data.x_train),
        "digest": _digest(data.x_train),
    }


def _digest(x: Tensor | Series) -> str:
    """Of the values in float32, block by block."""
    found = hashlib.blake2b(digest_size=16)
    for _, part in blocks(x):
        found.update(part.float().contiguous().numpy().data)
    return found.hexdigest()


def _continue(
    content: dict[str, Any], config: Config, description: dict[str, Any], out: Path
) -> State:
    """The state in a checkpoint, if it is of the same run."""
    if "finetuned" in content:
        raise ValueError(f"resume: {out} is a fine-tuned run; accepted: one of pretrain")
    # A setting that the checkpoint's version did not have stood at its default.
    given, saved = config.as_dict(), Config().as_dict() | content["config"]
    free = {"device"} | ({"epochs"} if config.epochs > saved["epochs"] else set())
    different = [
        f"{k}={given[k]!r} (was {saved[k]!r})"
        for k in given
        if given[k] != saved[k] and k not in free
    ]
    if different:
        raise ValueError(f"resume: {out} is a run with other settings: {', '.join(different)}")
    if content["data"].get("digest") != description["digest"]:
        raise ValueError(
            f"resume: {out} is a run on {content['data']['name']} with other train series"
        )
    if config.epochs > saved["epochs"] > 0:
        done, before = content["epoch"], replace(config, epochs=saved["epochs"])
        old = rate(min(done, before.epochs), before.epochs, before)
        _log.info(
            "resume: %d epochs instead of %d; from epoch %d on the learning rate follows the "
            "schedule of %d epochs, %.3g where the shorter one had %.3g",
            *(config.epochs, before.epochs, done, config.epochs),
            *(rate(done, config.epochs, config), old),
        )
    return State(content["epoch"], content["model"], content["optimizer"])
