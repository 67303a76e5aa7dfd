"""Training on Lightning Fabric: the loop, exact resume, checkpoints, logs; see README.md."""

from tsssl_fast.training.adapt import Adapted, adapt
from tsssl_fast.training.checkpoint import load_encoder, locate, read, series_shape
from tsssl_fast.training.config import Config, read_settings
from tsssl_fast.training.context import RecordingContext, fit_context
from tsssl_fast.training.devices import device
from tsssl_fast.training.embedding import Embeddings, check_embeddings_file, embed
from tsssl_fast.training.export import export
from tsssl_fast.training.finetune import FineTuned, fine_tune, write_finetuned
from tsssl_fast.training.following import follow
from tsssl_fast.training.loop import State, fit
from tsssl_fast.training.monitor import CollapseWarning, Monitor
from tsssl_fast.training.pretrain import pretrain, scaling_of
from tsssl_fast.training.profile import StepProfile
from tsssl_fast.training.settings import Settings
from tsssl_fast.training.shipped import is_shipped, shipped, shipped_start
from tsssl_fast.training.stages import DistinctBatches, Stages, distinct_batches, fit_stages

__all__ = [
    "Adapted",
    "CollapseWarning",
    "Config",
    "DistinctBatches",
    "Embeddings",
    "FineTuned",
    "Monitor",
    "RecordingContext",
    "Settings",
    "Stages",
    "State",
    "StepProfile",
    "adapt",
    "check_embeddings_file",
    "device",
    "distinct_batches",
    "embed",
    "export",
    "fine_tune",
    "fit",
    "fit_context",
    "fit_stages",
    "follow",
    "is_shipped",
    "load_encoder",
    "locate",
    "pretrain",
    "read",
    "read_settings",
    "scaling_of",
    "series_shape",
    "shipped",
    "shipped_start",
    "write_finetuned",
]
