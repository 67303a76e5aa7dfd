"""The compared calls in the API of this tree: the one file here to adapt when a name changes.

Names and positional arguments are those that `catalogue` calls; they stay.
"""

from torch import Tensor, nn

from tsssl_fast import augment, functional, losses, masking, preprocess
from tsssl_fast.backends import cpp
from tsssl_fast.encoders import ResNet

TEMPERATURE = 0.1
_NT_XENT = losses.NTXentLoss(temperature=TEMPERATURE)
_SIMCLR = augment.presets.simclr_ts()
_SIMCLR_ALWAYS = augment.presets.simclr_ts(p=1.0)
_JITTER = augment.Jitter()


def instruction_set() -> str:
    """The one that the extension uses; empty where the extension did not load."""
    return "" if cpp.C is None else str(cpp.C.isa())


def nt_xent(z1: Tensor, z2: Tensor) -> Tensor:
    return functional.nt_xent_loss(z1, z2, temperature=TEMPERATURE)


def nt_xent_module(z1: Tensor, z2: Tensor) -> Tensor:
    return _NT_XENT(z1, z2)


def sup_con(z: Tensor, labels: Tensor) -> Tensor:
    return functional.sup_con_loss(z, labels, temperature=TEMPERATURE)


def clip(q: Tensor, k: Tensor) -> Tensor:
    return functional.clip_loss(q, k, temperature=TEMPERATURE)


def dcl(z1: Tensor, z2: Tensor) -> Tensor:
    return functional.dcl_loss(z1, z2, temperature=TEMPERATURE)


def queue(q: Tensor, k: Tensor, negatives: Tensor) -> Tensor:
    return functional.info_nce_loss(q, k, temperature=TEMPERATURE, negatives=negatives)


def groups(z: Tensor, ids: Tensor, labels: Tensor) -> Tensor:
    return functional.contrastive_loss(z, q_ids=ids, q_groups=labels, temperature=TEMPERATURE)


def pair_weight(q: Tensor, k: Tensor, ids: Tensor, weight: Tensor) -> Tensor:
    return functional.contrastive_loss(
        q, k, q_ids=ids, k_ids=ids, pair_weight=weight, temperature=TEMPERATURE
    )


def hardness(z: Tensor, ids: Tensor) -> Tensor:
    return functional.contrastive_loss(z, q_ids=ids, hardness=1.0, temperature=TEMPERATURE)


def learnable_temperature(q: Tensor, k: Tensor, temperature: Tensor) -> Tensor:
    return functional.info_nce_loss(q, k, temperature=temperature)


def sigmoid(q: Tensor, k: Tensor) -> Tensor:
    return functional.siglip_loss(q, k)


def triplet(z: Tensor, labels: Tensor) -> Tensor:
    return functional.triplet_loss(z, labels)


def hierarchical(z1: Tensor, z2: Tensor) -> Tensor:
    return functional.hierarchical_contrastive_loss(z1, z2)


def vicreg(z1: Tensor, z2: Tensor) -> Tensor:
    return functional.vicreg_loss(z1, z2)


def barlow_twins(z1: Tensor, z2: Tensor) -> Tensor:
    return functional.barlow_twins_loss(z1, z2)


def simclr_views(x: Tensor) -> Tensor:
    """Two views, (2, N, C, T); each operation with probability 0.5."""
    return _SIMCLR(x, views=2, seed=0)


def simclr_views_always(x: Tensor) -> Tensor:
    """Every operation on every series."""
    return _SIMCLR_ALWAYS(x, views=2, seed=0)


def jitter(x: Tensor) -> Tensor:
    return _JITTER(x, seed=0)


def mask(x: Tensor, mode: str) -> Tensor:
    return masking.random_mask(x.shape, 0.5, mode=mode, seed=0)


def masked_step(prediction: Tensor, x: Tensor) -> Tensor:
    """Mask, fill, loss; the prediction takes the model's place."""
    hidden = masking.random_mask(x.shape, 0.5, seed=0)
    masking.fill(x, hidden)
    return masking.masked_loss(prediction, x, hidden)


def fill_missing(x: Tensor) -> Tensor:
    return preprocess.fill_missing(x, method="linear")


def standardize(x: Tensor) -> Tensor:
    return preprocess.standardize(x)


def minmax(x: Tensor) -> Tensor:
    return preprocess.minmax(x)


def moving_average(x: Tensor) -> Tensor:
    return preprocess.moving_average(x, 5)


def clip_outliers(x: Tensor) -> Tensor:
    return preprocess.clip_outliers(x, method="iqr")


def encoder(channels: int) -> nn.Module:
    """(N, C, T) -> (N, out_features)."""
    return ResNet(channels, widths=(16, 32))
