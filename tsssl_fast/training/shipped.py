"""An encoder that ships in the place of a checkpoint."""

from pathlib import Path
from typing import Any

from torch import nn

from tsssl_fast import encoders
from tsssl_fast.data import Dataset, Scaling
from tsssl_fast.encoders import weights
from tsssl_fast.training.config import Config
from tsssl_fast.training.pretrain import describe, scaling_of

__all__ = ["is_shipped", "shipped", "shipped_start"]


def is_shipped(checkpoint: Path | str | None) -> bool:
    """Whether it is the name of an encoder that ships, or None, and no file or folder."""
    if checkpoint is None:
        return True
    return str(checkpoint) in weights.NAMES and not Path(checkpoint).exists()


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
