"""Pre-training on Lightning Fabric: the loop, exact resume, checkpoints, logs; see README.md."""

from tsssl_fast.training.checkpoint import load_encoder, read
from tsssl_fast.training.config import Config
from tsssl_fast.training.loop import Settings, State, fit
from tsssl_fast.training.pretrain import pretrain

__all__ = ["Config", "Settings", "State", "fit", "load_encoder", "pretrain", "read"]
