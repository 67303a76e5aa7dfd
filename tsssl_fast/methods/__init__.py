"""Training methods: plain modules with `loss(batch) -> (loss, logs)`; parts are given, not built
in.

method = SimCLR(encoder, projector, views, NTXentLoss(0.2))
loss, logs = method.loss(Batch(x, sample_ids, seed))
"""

from collections.abc import Callable
from typing import Any

from tsssl_fast.methods.base import Batch, Logs, Method, Views
from tsssl_fast.methods.simclr import SimCLR
from tsssl_fast.methods.supervised import Supervised

__all__ = ["METHODS", "Batch", "Logs", "Method", "SimCLR", "Supervised", "Views"]

# What `tsssl-fast pretrain --method NAME` knows: (encoder, views, **options) -> method.
METHODS: dict[str, Callable[..., Any]] = {"simclr": SimCLR.recipe}
