"""An encoder that ships in the place of a checkpoint."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from tsssl_fast import encoders
from tsssl_fast.data import Dataset, Scaling
from tsssl_fast.data.stored import blocks
from tsssl_fast.encoders import weights
from tsssl_fast.training.config import Config
from tsssl_fast.training.pretrain import describe

__all__ = ["is_shipped", "scaling_of", "shipped", "shipped_start"]


def is_shipped(checkpoint: Path | str | None) -> bool:
    """Whether it is the name of an encoder that ships, or None, and no file or folder."""
    if checkpoint is None:
        return True
    return str(checkpoint) in weights.NAMES and not Path(checkpoint).exists()


def scaling_of(data: Dataset, kind: str = "standard", group: int = 1) -> Scaling:
    """Fitted on the steps of the train series that are no padding. Raises as `Scaling.fit`."""
    lengths = data.lengths_train
    if lengths is None:
        return Scaling.fit(data.x_train, kind, group)
    own = [
        row[:, :n]
        for start, part in blocks(data.x_train)
        for row, n in zip(part, lengths[start : start + len(part)].tolist(), strict=True)
    ]
    return Scaling.fit(torch.cat(own, dim=1)[None], kind, group)


def shipped(name: str, data: Dataset, full: bool = False) -> tuple[nn.Module, Scaling]:
    """The encoder `name` for the series of `data`, and their scaling.

    Raises as `encoders.pretrained`.
    """
    return encoders.pretrained(name, data.channels, full=full), scaling_of(data)


def shipped_start(name: str, data: Dataset) -> tuple[nn.Module, Scaling, dict[str, Any]]:
    """As `load_encoder` has them after no epoch of pre-training on `data` from the weights `name`.

    Raises as `encoders.pretrained`.
    """
    config = Config(init=name).resolved(data)
    content = {"config": config.as_dict(), "data": describe(data), "epoch": 0, "reading": {}}
    return config.build_encoder(data.channels, data.length), scaling_of(data), content
