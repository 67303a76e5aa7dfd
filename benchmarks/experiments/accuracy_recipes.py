"""What `accuracy.py` trains: a recipe per data set and method, in plain values.

Chosen by figures inside the train split alone: `accuracy.py --show validation` prints the accuracy
of the read-outs by folds of the train rows (subjects apart on UCI HAR).
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from tsssl_fast.methods import METHODS

SETS = {"uwave": "UWaveGestureLibrary", "har": "UCI_HAR"}
LABELS = {
    "1nn": "1-NN Euclidean",
    "random": "random encoder",
    "supervised": "supervised from scratch",
    "simclr": "SimCLR",
    "vicreg": "VICReg",
    "barlow_twins": "Barlow Twins",
    "moco": "MoCo",
    "simsiam": "SimSiam",
    "masked_autoencoder": "MAE",
    "contrastive_masked": "hybrid (contrastive + masked)",
    "masked_reconstruction": "masked reconstruction, convolutional",
    "contrastive_reconstruction": "hybrid, convolutional",
    "ssgan": "SS-GAN features",
    "clip": "CLIP, accelerometer and gyroscope",
    "random_transformer": "random patch transformer",
    "vicreg_no_covariance": "VICReg without covariance term",
    "simclr_noise": "SimCLR, views of noise alone",
    "finetuned_simclr": "SimCLR, fine-tuned",
    "finetuned_vicreg": "VICReg, fine-tuned",
    "transferred": "SimCLR of the other data set",
    "finetuned_transferred": "SimCLR of the other data set, fine-tuned",
    "statistics": "series statistics",
}
FRACTIONS = (0.01, 0.05, 0.1, 0.5)


@dataclass(frozen=True)
class Recipe:
    """config: keyword arguments of `training.Config`; pooling: of `evaluate.features`; members:
    recipes whose features are concatenated; read_out: folds and values of C for the linear probe
    and the SVM, empty for the defaults; channels: of the series, empty for all.
    """

    dataset: str
    method: str
    config: dict[str, Any] = field(default_factory=dict)
    pooling: str = "stages"
    members: tuple[str, ...] = ()
    read_out: dict[str, Any] = field(default_factory=dict)
    channels: tuple[int, ...] = ()

    def digest(self) -> str:
        """Of everything, for the store."""
        return _digest(asdict(self))

    def training_digest(self) -> str:
        """Of what the encoder depends on, for the cache."""
        return _digest([self.dataset, self.method, self.config, self.channels])


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


COMMON: dict[str, dict[str, Any]] = {
    "uwave": {"encoder": "inception", "views": "forward", "epochs": 60, "amp": "bf16"},
    "har": {
        "encoder": "resnet",
        "views": "wearable",
        "epochs": 10,
        "amp": "bf16",
        "scaling": "scale",
        "scale_group": 3,
    },
}
POOLING = {"uwave": "stages+thirds", "har": "input+stages"}
# 7352 rows: the full grids over five folds would take ten minutes a run.
READ_OUT: dict[str, dict[str, Any]] = {
    "uwave": {},
    "har": {"folds": 3, "linear": (0.01, 0.1, 1.0), "svm": (1.0, 10.0, 100.0)},
}
SHAPES = {"uwave": (3, 315), "har": (9, 128)}
OTHER = {"uwave": "har", "har": "uwave"}
OWN: dict[tuple[str, str], dict[str, Any]] = {
    ("uwave", "supervised"): {"batch_size": 32},
    **{
        (dataset, method): {"encoder": "patch_transformer"}
        for dataset in ("uwave", "har")
        for method in ("masked_autoencoder", "contrastive_masked", "random_transformer")
    },
    ("uwave", "vicreg_no_covariance"): {"method": "vicreg", "options": {"covariance_weight": 0.0}},
    ("har", "vicreg_no_covariance"): {
        "method": "vicreg",
        "options": {"width": 512, "covariance_weight": 0.0},
    },
    **{
        (dataset, "simclr_noise"): {"method": "simclr", "views": "noise"}
        for dataset in ("uwave", "har")
    },
    ("har", "masked_reconstruction"): {"epochs": 20},
    ("har", "vicreg"): {"options": {"width": 512}},
    ("har", "barlow_twins"): {"options": {"width": 512, "lambd": 0.005}},
}


def recipe(dataset: str, method: str) -> Recipe:
    """By name; "a+b" concatenates the features of a and b."""
    members = tuple(method.split("+")) if "+" in method else ()
    for name in members or (method,):
        if name not in LABELS:
            raise ValueError(f"method: {name!r}; accepted: {', '.join(LABELS)}, or several with +")
    config: dict[str, Any] = {}
    if not members and method != "1nn":
        # Fine-tuning differs from the supervised baseline in the initial weights alone.
        like = "supervised" if method.startswith("finetuned_") else method
        config = COMMON[dataset] | OWN.get((dataset, like), {})
        if method in METHODS:
            config = {"method": method} | config
    # Body acceleration and gyroscope: the halves of the channels are the two sensors.
    channels = tuple(range(6)) if (dataset, method) == ("har", "clip") else ()
    read_out = READ_OUT[dataset]
    return Recipe(dataset, method, config, POOLING[dataset], members, read_out, channels)


def label(method: str) -> str:
    return " + ".join(LABELS[name] for name in method.split("+"))
