"""What a run is: everything needed to build its method again, in plain values."""

import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tsssl_fast import encoders
from tsssl_fast.common import checks
from tsssl_fast.common.settings import kinds, setting
from tsssl_fast.data import NONE, SCALINGS, Dataset
from tsssl_fast.encoders import weights
from tsssl_fast.methods import METHODS, NEEDS_TOKENS, Method, Views
from tsssl_fast.training.loop import fold
from tsssl_fast.training.settings import Settings
from tsssl_fast.training.views import PRESETS

DECLARED = Settings.__dataclass_fields__


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """The settings of `fit`, and what it trains: method, encoder, views by name; options: keyword
    arguments of the method's recipe.

    epochs = 0: as many as 300 steps hold, but 10 to 60; batch_size = 0: 256, or all series where
    there are fewer; lr = None: 0.003, or 0.001 for a patch transformer. `resolved` replaces these,
    and encoder="auto", by what a data set makes of them; it is "channelwise" with `init`, which
    names weights of `encoders.weights`.
    """

    method: str = setting("simclr", "What is learnt.", choices=lambda: tuple(METHODS))
    encoder: str = setting(
        "auto",
        "auto: by length and method.",
        choices=lambda: ("auto", *encoders.ENCODERS),
    )
    init: str = setting(
        "",
        "Weights that ship, to start from.",
        choices=lambda: weights.NAMES,
        shown="random",
    )
    views: str = setting("forward", "Augmentation.", choices=lambda: tuple(PRESETS))
    epochs: int = setting(0, shown="by size, 10 to 60", like=DECLARED["epochs"])
    batch_size: int = setting(0, shown="up to 256", like=DECLARED["batch_size"])
    lr: float | None = setting(  # type: ignore[assignment]
        None, shown="0.003, of a patch transformer 0.001", like=DECLARED["lr"]
    )
    scaling: str = setting(
        "standard", "Per channel; scale keeps the zero.", choices=lambda: SCALINGS
    )
    scale_group: int = setting(1, "Channels that share a scale, 3 for a sensor's axes.", least=1)
    options: dict[str, Any] = field(default_factory=dict, metadata=setting({}).metadata)

    def __post_init__(self) -> None:
        super().__post_init__()
        accepted = list(inspect.signature(METHODS[self.method]).parameters)[2:]
        for name in self.options:
            checks.choice(f"option of {self.method}", name, accepted)
        if self.init and self.encoder not in ("auto", "channelwise"):
            raise ValueError(
                f"init: {self.init!r} with encoder {self.encoder!r}; accepted: with 'channelwise'"
            )

    def usable(self, data: Dataset) -> Dataset:
        """The train series that the method can learn from: those with a label where it needs them.

        Raises ValueError where it learns from labels and there are none.
        """
        if not learns_labels(self.method):
            return data
        if not data.classes:
            raise ValueError(f"data: no labels; method {self.method} needs them")
        if not needs_labels(self.method):
            return data
        return data.only_train(data.y_train != NONE)

    def resolved(self, data: Dataset) -> "Config":
        """What is left open (0, None, "auto"), chosen by size and shape of the train split."""
        batch = self.batch_size or min(256, len(data.x_train) // self.accumulate)
        batch -= 0 if self.batch_size else batch % self.devices
        steps = max(1, len(data.x_train) // max(1, batch * self.accumulate))
        epochs = self.epochs or max(10, min(60, 300 // steps))
        name = "channelwise" if self.init else self.encoder
        name = encoders.resolve(name, data.length, self.method in NEEDS_TOKENS)
        lr = (1e-3 if name == "patch_transformer" else 3e-3) if self.lr is None else self.lr
        return replace(self, batch_size=batch, epochs=epochs, encoder=name, lr=lr)

    def build(
        self,
        channels: int,
        length: int,
        views: Views | None = None,
        texts: Sequence[str] | None = None,
    ) -> Method:
        """The method with its initial weights, which are a function of the seed.

        channels: C; length: T, steps of the series. views: instead of the preset that `self.views`
        names. texts: one for each series, of method clip.
        """
        if texts is not None and self.method != "clip":
            raise ValueError(f"texts: given with method {self.method}; accepted: with method clip")
        more: dict[str, Any] = {} if texts is None else {"texts": texts}
        encoder = self.build_encoder(channels, length)
        with torch.random.fork_rng():
            torch.manual_seed(fold(self.seed, 1))
            views = PRESETS[self.views]() if views is None else views
            method: Method = METHODS[self.method](encoder, views, **self.options, **more)
            return method

    def build_encoder(self, channels: int, length: int) -> nn.Module:
        """The encoder alone, as it stands before training: the same for every method.

        channels: C; length: T, steps of the series.
        """
        if self.init:
            return weights.start(self.init, channels)
        with torch.random.fork_rng():
            torch.manual_seed(fold(self.seed, 0))
            return encoders.build(self.encoder, channels, length)

    def as_dict(self) -> dict[str, Any]:
        """The settings in plain values, as checkpoints and YAML files have them."""
        return asdict(self)


def needs_labels(method: str) -> bool:
    """Whether the method of that name needs a label of every series."""
    found: bool = getattr(METHODS[method], "__self__", Method).needs_labels
    return found


def learns_labels(method: str) -> bool:
    """Whether it learns from labels, be it of some series alone."""
    found: bool = getattr(METHODS[method], "__self__", Method).uses_labels
    return found or needs_labels(method)


# In the order for readers: what is trained, then how.
NAMES = tuple(sorted(Config.__dataclass_fields__, key=lambda name: name in DECLARED))


def read_settings(path: str | Path) -> dict[str, Any]:
    """The fields of `Config` in a YAML file, such as `method: vicreg` and `options: {width: 512}`.

    Raises FileNotFoundError; ValueError for a file that is no mapping of fields; ImportError
    without PyYAML.
    """
    try:
        import yaml
    except ImportError as error:
        raise ImportError(
            "config: YAML is read by PyYAML; install it: pip install pyyaml"
        ) from error
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"config: {path}: no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"config: {path}: not YAML ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"config: {path}: no settings; accepted: lines such as method: simclr")
    types = kinds(Config)
    for name, value in content.items():
        checks.choice(f"setting in {path}", name, NAMES)
        wanted = types[name]
        number = wanted is float and isinstance(value, int) and not isinstance(value, bool)
        if not number and (not isinstance(value, wanted) or isinstance(value, bool)):
            raise ValueError(
                f"config: {path}: {name} is {value!r}; accepted: {wanted.__name__} (a number with "
                "an exponent needs a point in YAML: 1.0e-3)"
            )
    return {name: types[name](value) for name, value in content.items()}
