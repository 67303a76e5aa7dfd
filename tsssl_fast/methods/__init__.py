"""Training methods: plain modules with `loss(batch) -> (loss, logs)`; parts are given, not built
in.

method = SimCLR(encoder, projector, views, NTXentLoss(0.2))
loss, logs = method.loss(Batch(x, sample_ids, seed))
"""

from collections.abc import Callable
from typing import Any

from tsssl_fast.methods.barlow_twins import BarlowTwins
from tsssl_fast.methods.base import Batch, Logs, Method, Views
from tsssl_fast.methods.moco import MoCo
from tsssl_fast.methods.simclr import SimCLR
from tsssl_fast.methods.simsiam import SimSiam
from tsssl_fast.methods.supcon import SupCon
from tsssl_fast.methods.supervised import Supervised
from tsssl_fast.methods.transform_prediction import TransformPrediction
from tsssl_fast.methods.vicreg import VICReg

__all__ = [
    "METHODS",
    "BarlowTwins",
    "Batch",
    "Logs",
    "Method",
    "MoCo",
    "SimCLR",
    "SimSiam",
    "SupCon",
    "Supervised",
    "TransformPrediction",
    "VICReg",
    "Views",
]

# What `tsssl-fast pretrain --method NAME` knows: (encoder, views, **options) -> method.
METHODS: dict[str, Callable[..., Any]] = {
    "simclr": SimCLR.recipe,
    "vicreg": VICReg.recipe,
    "barlow_twins": BarlowTwins.recipe,
    "simsiam": SimSiam.recipe,
    "moco": MoCo.recipe,
    "supcon": SupCon.recipe,
    "transform_prediction": TransformPrediction.recipe,
}
