"""Training methods: plain modules with `loss(batch) -> (loss, logs)`; parts are given, not built
in.

method = SimCLR(encoder, projector, views, NTXentLoss(0.2))
loss, logs = method.loss(Batch(x, sample_ids, seed))
"""

from collections.abc import Callable
from typing import Any

from tsssl_fast.methods.adversarial import AdversarialTraining
from tsssl_fast.methods.barlow_twins import BarlowTwins
from tsssl_fast.methods.base import Batch, Logs, Method, Views
from tsssl_fast.methods.beit import BEiT
from tsssl_fast.methods.clan import CLAN
from tsssl_fast.methods.clip import CLIP
from tsssl_fast.methods.collossl import ColloSSL
from tsssl_fast.methods.contrastive_masked import ContrastiveMasked
from tsssl_fast.methods.contrastive_reconstruction import ContrastiveReconstruction
from tsssl_fast.methods.generated_views import GeneratedViews
from tsssl_fast.methods.masked_autoencoder import MaskedAutoencoder
from tsssl_fast.methods.masked_reconstruction import MaskedReconstruction
from tsssl_fast.methods.moco import MoCo
from tsssl_fast.methods.moco_v3 import MoCoV3
from tsssl_fast.methods.nnclr import NNCLR
from tsssl_fast.methods.simclr import SimCLR
from tsssl_fast.methods.simmtm import SimMTM
from tsssl_fast.methods.simsiam import SimSiam
from tsssl_fast.methods.ssgan import SSGAN
from tsssl_fast.methods.supcon import SupCon
from tsssl_fast.methods.supervised import Supervised
from tsssl_fast.methods.test_time_training import TestTimeTraining
from tsssl_fast.methods.transform_prediction import TransformPrediction
from tsssl_fast.methods.vicreg import VICReg
from tsssl_fast.methods.voco import VoCo, base_crops

__all__ = [
    "CLAN",
    "CLIP",
    "METHODS",
    "NEEDS_TOKENS",
    "NNCLR",
    "SSGAN",
    "AdversarialTraining",
    "BEiT",
    "BarlowTwins",
    "Batch",
    "ColloSSL",
    "ContrastiveMasked",
    "ContrastiveReconstruction",
    "GeneratedViews",
    "Logs",
    "MaskedAutoencoder",
    "MaskedReconstruction",
    "Method",
    "MoCo",
    "MoCoV3",
    "SimCLR",
    "SimMTM",
    "SimSiam",
    "SupCon",
    "Supervised",
    "TestTimeTraining",
    "TransformPrediction",
    "VICReg",
    "Views",
    "VoCo",
    "base_crops",
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
    "clip": CLIP.recipe,
    "masked_autoencoder": MaskedAutoencoder.recipe,
    "masked_reconstruction": MaskedReconstruction.recipe,
    "beit": BEiT.recipe,
    "contrastive_masked": ContrastiveMasked.recipe,
    "contrastive_reconstruction": ContrastiveReconstruction.recipe,
    "test_time_training": TestTimeTraining.recipe,
    "ssgan": SSGAN.recipe,
    "moco_v3": MoCoV3.recipe,
    "nnclr": NNCLR.recipe,
    "simmtm": SimMTM.recipe,
    "collossl": ColloSSL.recipe,
    "clan": CLAN.recipe,
    "voco": VoCo.recipe,
}

# Those whose encoder is a PatchTransformer.
NEEDS_TOKENS = frozenset({"masked_autoencoder", "beit", "contrastive_masked", "test_time_training"})
