"""What a run is: everything needed to build its method again, in plain values."""

import inspect
import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn

from tsssl_fast import _checks, encoders
from tsssl_fast.data import SCALINGS, Dataset
from tsssl_fast.methods import METHODS, NEEDS_TOKENS, Method, Views
from tsssl_fast.training.loop import Settings, fold
from tsssl_fast.training.views import PRESETS


@dataclass(frozen=True)
class Config:
    """method, encoder: names; options: keyword arguments of the method's recipe; the rest:
    `Settings`.

    epochs = 0: enough for about 300 steps, but 10 to 100; batch_size = 0: 256, or all series where
    there are fewer; lr = None: 0.003, or 0.001 for a patch transformer. `resolved` replaces these,
    and encoder="auto", by what a data set makes of them.
    """

    method: str = "simclr"
    encoder: str = "auto"
    epochs: int = 0
    batch_size: int = 0
    lr: float | None = None
    weight_decay: float = 1e-3
    warmup: float = 0.05
    seed: int = 0
    precision: str = "auto"
    device: str = "auto"
    views: str = "forward"
    scaling: str = "standard"
    scale_group: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _checks.choice("method", self.method, tuple(METHODS))
        accepted = list(inspect.signature(METHODS[self.method]).parameters)[2:]
        for name in self.options:
            _checks.choice(f"option of {self.method}", name, accepted)
        _checks.choice("encoder", self.encoder, ("auto", *encoders.ENCODERS))
        _checks.choice("views", self.views, tuple(PRESETS))
        _checks.choice("scaling", self.scaling, SCALINGS)
        self.settings()

    def resolved(self, data: Dataset) -> "Config":
        batch = self.batch_size or min(256, len(data.x_train))
        steps = max(1, len(data.x_train) // batch)
        epochs = self.epochs or max(10, min(100, math.ceil(300 / steps)))
        name = encoders.resolve(self.encoder, data.length, self.method in NEEDS_TOKENS)
        lr = (1e-3 if name == "patch_transformer" else 3e-3) if self.lr is None else self.lr
        return replace(self, batch_size=batch, epochs=epochs, encoder=name, lr=lr)

    def settings(self) -> Settings:
        """Raises ValueError for a value out of range."""
        return Settings(
            self.epochs or 1,
            self.batch_size or 1,
            3e-3 if self.lr is None else self.lr,
            self.weight_decay,
            self.warmup,
            self.seed,
            self.precision,
            self.device,
        )

    def build(self, channels: int, length: int, views: Views | None = None) -> Method:
        """The method with its initial weights, which are a function of the seed.

        views: instead of the preset that `self.views` names.
        """
        encoder = self.build_encoder(channels, length)
        with torch.random.fork_rng():
            torch.manual_seed(fold(self.seed, 1))
            return METHODS[self.method](encoder, views or PRESETS[self.views](), **self.options)

    def build_encoder(self, channels: int, length: int) -> nn.Module:
        """The encoder alone, as it stands before training: the same for every method."""
        with torch.random.fork_rng():
            torch.manual_seed(fold(self.seed, 0))
            return encoders.build(self.encoder, channels, length)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
