"""Encoders of a checkpoint on the series that a command was given."""

import logging
from pathlib import Path
from typing import Any

from tsssl_fast.cli.options import reading

_log = logging.getLogger("tsssl_fast")


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
    return how, load(data, reading=how).labelled(), *found


def fitted(
    content: dict[str, Any], series: Any, adapt: bool, scaling: Any, *encoders: Any
) -> tuple[Any, ...]:
    """The scaling and the encoders for `series`, adapted where that is asked for.

    Raises ValueError for another number of channels without `adapt`, and for the same channels in
    another order.
    """
    from tsssl_fast import training

    takes, given = training.series_shape(content), (series.channels, series.length)
    if takes[0] != given[0] and not adapt:
        raise ValueError(
            f"data: {series.name} has {given[0]} channels; accepted: {takes[0]}, as "
            f"{content['data']['name']} on which the encoder was trained, or --adapt"
        )
    if takes[0] == given[0]:
        _check_names(content, series)
    if not adapt or takes == given:
        return scaling, *encoders
    config = content["config"]
    group = config["scale_group"] if given[0] % config["scale_group"] == 0 else 1
    scaling = training.scaling_of(series, config["scaling"], group)
    return scaling, *(training.adapt(encoder, takes, given) for encoder in encoders)


def _check_names(content: dict[str, Any], series: Any) -> None:
    """Channels are taken in their order: another one is refused, other names are told."""
    trained = (content.get("finetuned") or content["data"]).get("channel_names") or []
    own = list(series.channel_names)
    if not trained or not own or own == trained:
        return
    if sorted(own) == sorted(trained):
        raise ValueError(
            f"data: {series.name} has the channels {', '.join(own)}; accepted: in the order of "
            f"pre-training, columns={{'values': '{','.join(trained)}'}}"
        )
    _log.info(
        "data: channels %s are taken for %s of pre-training",
        *(", ".join(names) for names in (own, trained)),
    )


def tell_seen(content: dict[str, Any], series: Any, how: Any) -> None:
    """Says where the test series were split off otherwise than for pre-training on these data."""
    kept = content["reading"]
    before = kept.get("test_share", 0.0), kept.get("split_seed", 0)
    if not how.test_share or (how.test_share, how.split_seed) == before:
        return
    trained = content.get("finetuned") or content["data"]
    if series.name in (trained["name"], content["data"]["name"]):
        _log.info("data: training had another split: test series may be among what it saw")
