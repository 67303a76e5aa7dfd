"""How a training run optimises. Each setting is declared once: type, default, help, what it may be.

The checks, the options of the command line and the fields of a YAML file follow from that.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, get_args, get_origin, get_type_hints

from torch import distributed

from tsssl_fast.common import checks


def setting(
    default: Any,
    help: str = "",
    *,
    least: float | None = None,
    most: float = math.inf,
    positive: bool = False,
    choices: Callable[[], Sequence[str]] | None = None,
    shown: str = "",
    like: Any = None,
) -> Any:
    """A field of `Settings` or of a class that adds to it.

    Args:
        least, most, positive: range of a number; positive: above 0.
        choices: of a text, asked when they are needed.
        shown: what a help text says of a default that stands for something else, and that is
            therefore not checked.
        like: the field of another class that this one is, but for its default.
    """
    about = dict(help=help, least=least, most=most, positive=positive, choices=choices)
    about = dict(about if like is None else like.metadata, shown=shown or str(default))
    return field(default=default, metadata=about | {"stands_for": bool(shown)})


def kinds(settings: type) -> dict[str, type]:
    """What every setting of a class holds: int, float, str or dict, None left out."""
    hints = get_type_hints(settings)
    return {f.name: _kind(hints[f.name]) for f in fields(settings)}


def _kind(hint: Any) -> type:
    found: type = get_origin(hint) if get_origin(hint) is dict else [*get_args(hint), hint][0]
    return found


def started_processes() -> int:
    """As many as torchrun started; 0 where it did not."""
    elastic = distributed.is_available() and distributed.is_torchelastic_launched()
    return int(os.environ["WORLD_SIZE"]) if elastic else 0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How `fit` optimises: AdamW, linear warm-up, then half a cosine to zero, stepwise.

    batch_size: rows of a loss; the incomplete batch at the end of an epoch is left out, and every
    epoch has its own order. accumulate: batches whose mean gradient makes one step of the
    optimizer; each has its own loss and negatives. warmup: share of all steps. weight_decay: not on
    1-D parameters (biases, norms). precision: "bf16" runs the encoder under bfloat16 autocast,
    "auto" does where the hardware has it and series have 8 steps or more. device: "auto", "cpu" or
    "cuda". devices: processes (DDP; gloo on the CPU), each with batch_size / devices rows of a
    batch, whose loss is of all rows; 0: as many as torchrun started, else 1. batch_norm: of several
    processes, statistics of the "local" rows or of "all".

    Raises ValueError for a value that is not accepted, naming it.
    """

    epochs: int = setting(100, "Passes over the train series.", least=1)
    batch_size: int = setting(256, "Series of a loss.", least=1)
    lr: float = setting(3e-3, "Learning rate after warm-up.", positive=True)
    weight_decay: float = setting(1e-3, "Of AdamW, not on biases and norms.", least=0)
    warmup: float = setting(0.05, "Share of the steps in which the rate rises.", least=0, most=1)
    seed: int = setting(0, "Of weights, order and views.", least=0, most=2**63 - 1)
    precision: str = setting("auto", "Of the encoder.", choices=lambda: ("auto", "32", "bf16"))
    device: str = setting("auto", "Where to train.", choices=lambda: ("auto", "cpu", "cuda"))
    accumulate: int = setting(1, "Batches per step of the optimizer.", least=1)
    devices: int = setting(
        0, "Processes of data-parallel training.", least=1, shown="1, under torchrun all"
    )
    batch_norm: str = setting(
        "local", "Statistics of a process's rows, or of all.", choices=lambda: ("local", "all")
    )

    def __post_init__(self) -> None:
        if self.devices == 0:
            object.__setattr__(self, "devices", started_processes() or 1)
        wanted = kinds(type(self))
        for f in fields(self):
            value, about = getattr(self, f.name), f.metadata
            if about["stands_for"] and value == f.default:
                continue
            if about["choices"] is not None:
                checks.choice(f.name, value, tuple(about["choices"]()))
            elif about["positive"]:
                checks.positive(f.name, value)
            elif about["least"] is not None:
                _check_range(f.name, value, wanted[f.name], about["least"], about["most"])
        if self.batch_size % self.devices:
            raise ValueError(
                f"batch_size: {self.batch_size}; accepted: a multiple of the {self.devices} devices"
            )


def _check_range(name: str, value: Any, wanted: type, least: float, most: float) -> None:
    fits = isinstance(value, int if wanted is int else int | float)
    if not fits or not least <= value <= most or math.isinf(value):
        integer = "an integer, " if wanted is int else ""
        accepted = f"{least} or more" if math.isinf(most) else f"{least} to {most}"
        raise ValueError(f"{name}: {value}; accepted: {integer}{accepted}")
