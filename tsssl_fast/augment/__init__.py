"""Augmentations of time series, drawn per sample, all views in one pass.

    from tsssl_fast import augment
    pipeline = augment.presets.simclr_ts()
    v1, v2 = pipeline(x, views=2, seed=0, epoch=epoch, sample_ids=index)

The same seed, epoch, step, rank, sample id and view give the same bits on every backend, in any
batch, with any number of threads.
"""

from tsssl_fast.augment import (
    channels,
    crops,
    filters,
    groups,
    masks,
    mixing,
    policies,
    presets,
    recombination,
    signals,
    time,
    values,
)
from tsssl_fast.augment.channels import *
from tsssl_fast.augment.compose import Compose, PerView
from tsssl_fast.augment.crops import *
from tsssl_fast.augment.filters import *
from tsssl_fast.augment.groups import *
from tsssl_fast.augment.masks import *
from tsssl_fast.augment.mixing import *
from tsssl_fast.augment.parameters import Parameters
from tsssl_fast.augment.policies import *
from tsssl_fast.augment.recombination import *
from tsssl_fast.augment.signals import *
from tsssl_fast.augment.time import *
from tsssl_fast.augment.transform import Transform
from tsssl_fast.augment.values import *

# Of every operation where it is defined.
__all__ = ["Compose", "Parameters", "PerView", "Transform", "presets"]
__all__ += channels.__all__
__all__ += crops.__all__
__all__ += filters.__all__
__all__ += groups.__all__
__all__ += masks.__all__
__all__ += mixing.__all__
__all__ += policies.__all__
__all__ += recombination.__all__
__all__ += signals.__all__
__all__ += time.__all__
__all__ += values.__all__
