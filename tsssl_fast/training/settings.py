"""How a training run optimises."""

import os
from dataclasses import dataclass

from torch import distributed

from tsssl_fast.backends.precision import NAMES
from tsssl_fast.common.settings import Declared, setting
from tsssl_fast.training.devices import DEVICES


def started_processes() -> int:
    """As many as torchrun started; 0 where it did not."""
    elastic = distributed.is_available() and distributed.is_torchelastic_launched()
    return int(os.environ["WORLD_SIZE"]) if elastic else 0


@dataclass(frozen=True, kw_only=True)
class Settings(Declared):
    """How `fit` optimises: AdamW, linear warm-up, then half a cosine to zero, stepwise.

    epochs: passes over the train series. batch_size: rows of a loss; the incomplete batch at the
    end of an epoch is left out, and every epoch has its own order. accumulate: batches whose mean
    gradient makes one step of the optimizer; each has its own loss and negatives. warmup: share of
    all steps. weight_decay: not on 1-D parameters (biases, norms). amp: "bf16" runs the encoder
    under bfloat16 autocast, "auto" does where the hardware has it and series have 8 steps or more.
    precision: of the loss, as functional.nt_xent_loss takes it; "torch" is its None, torch's
    setting. device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", "mps". devices:
    processes (DDP; gloo on the CPU), each with batch_size / devices rows of a batch, whose loss is
    of all rows; 0: as many as torchrun started, else 1. batch_norm: of several processes,
    statistics of the "local" rows or of "all".

    Raises ValueError for a value that is not accepted, naming it.
    """

    epochs: int = setting(100, "Passes over the train series.", least=1)
    batch_size: int = setting(256, "Series of a loss.", least=1)
    lr: float = setting(3e-3, "Learning rate after warm-up.", positive=True)
    weight_decay: float = setting(1e-3, "Of AdamW, not on biases and norms.", least=0)
    warmup: float = setting(0.05, "Share of the steps in which the rate rises.", least=0, most=1)
    seed: int = setting(0, "Of weights, order and views.", least=0, most=2**63 - 1)
    amp: str = setting("auto", "Autocast of the encoder.", choices=lambda: ("auto", "32", "bf16"))
    precision: str = setting(
        "torch", "Of the loss; torch: torch's setting.", choices=lambda: ("torch", *NAMES)
    )
    device: str = setting("auto", "Where to train.", choices=lambda: DEVICES, also=r"cuda:\d+")
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
        super().__post_init__()
        if self.batch_size % self.devices:
            raise ValueError(
                f"batch_size: {self.batch_size}; accepted: a multiple of the {self.devices} devices"
            )
