"""Encoders of a checkpoint on the series that a command was given."""

import logging
from pathlib import Path
from typing import Any

from tsssl_fast.cli.options import reading

_log = logging.getLogger("tsssl_fast")

NEAR = 0.01  # of a rate: what two clocks differ by


def to_tune(checkpoint: Path, data: str, given: dict[str, Any]) -> tuple[Any, ...]:
    """How DATA is read, its labelled series, and encoder, scaling and content of a checkpoint, or
    of one that ships."""
    from tsssl_fast import training
    from tsssl_fast.data import load

    if training.is_shipped(checkpoint):
        how = reading(given)
        series = load(data, reading=how).labelled()
        return how, series, *training.shipped_start(str(checkpoint), series)
    found = training.load_encoder(checkpoint)
    how = reading(given, found[2], data)
    series = load(data, reading=how).labelled()
    tell_seen(found[2], series, how)
    return how, series, *found


def fitted(
    content: dict[str, Any], series: Any, data: str, adapt: bool, scaling: Any, *encoders: Any
) -> tuple[Any, ...]:
    """The scaling and the encoders for `series` of DATA, adapted where that is asked for.

    Raises ValueError for another number of channels without `adapt`, and for the same channels in
    another order.
    """
    from tsssl_fast import training

    takes, given = training.series_shape(content), (series.channels, series.length)
    trained = content.get("finetuned") or content["data"]
    if takes[0] != given[0] and not adapt:
        raise ValueError(
            f"data: {series.name} has {given[0]} channels; accepted: {takes[0]}, as "
            f"{trained['name']} on which the encoder was trained{_how(trained, series, data)}, or "
            "--adapt"
        )
    if takes[0] == given[0]:
        _check_names(trained, series, data)
    _tell_rate(trained, series)
    if not adapt or takes == given:
        return scaling, *encoders
    config = content["config"]
    group = config["scale_group"] if given[0] % config["scale_group"] == 0 else 1
    scaling = training.scaling_of(series, config["scaling"], group)
    return scaling, *(training.adapt(encoder, takes, given) for encoder in encoders)


def _how(trained: dict[str, Any], series: Any, data: str) -> str:
    """What makes the channels of DATA those of training."""
    from tsssl_fast.data.readers import is_table

    names, own = trained.get("channel_names") or [], [*series.channel_names]
    if is_table(data):
        return f", named by --column values={','.join(names) or 'A,B'}"
    if names and {*names} <= {*own}:
        return f": X[:, {[own.index(name) for name in names]}], {', '.join(names)}"
    return f": {', '.join(names)}" if names else ""


def _check_names(trained: dict[str, Any], series: Any, data: str) -> None:
    """Channels are taken in their order: another one is refused, other names are told."""
    names, own = trained.get("channel_names") or [], list(series.channel_names)
    if not names or not own or own == names:
        return
    if sorted(own) == sorted(names):
        raise ValueError(
            f"data: {series.name} has the channels {', '.join(own)}; accepted: in the order of "
            f"training{_how(trained, series, data)}"
        )
    _log.info(
        "data: channels %s are taken for %s of training",
        *(", ".join(part) for part in (own, names)),
    )


def _tell_rate(trained: dict[str, Any], series: Any) -> None:
    """Warns of series at another rate than those of training: nothing is resampled unasked."""
    before, now = trained.get("rate"), series.rate
    if before and now and abs(now - before) > NEAR * before:
        _log.warning(
            "data: %s has %.6g Hz, and the encoder was trained at %.6g Hz; resample=%.6g makes "
            "them alike",
            *(series.name, now, before, before),
        )


def tell_seen(content: dict[str, Any], series: Any, how: Any) -> None:
    """Says where the test series were split off otherwise than for pre-training or fine-tuning on
    these data."""
    if not how.test_share:
        return
    last = "finetuned" if "finetuned" in content else "data"
    for name, what in (("data", "pre-training"), ("finetuned", "fine-tuning")):
        part = dict(content.get(name, {}))
        if name == last:  # of checkpoints before it stood there
            part = content["reading"] | part
        if series.name != part.get("name") or (name != last and "test_share" not in part):
            continue
        before = part.get("test_share", 0.0), part.get("split_seed", 0)
        if (how.test_share, how.split_seed) != before:
            _log.info("data: %s had another split: test series may be among what it saw", what)
