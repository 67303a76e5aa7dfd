"""Training methods: plain modules with `loss(batch) -> (loss, logs)`; parts are given, not built
in.

method = SimCLR(encoder, projector, views, NTXentLoss(0.2))
loss, logs = method.loss(Batch(x, sample_ids, seed))

Shared by all: x, (N, C, T), floating, as in `Batch`; embeddings, (rows, D), in the dtype that the
encoder gives. Errors: TypeError for an option of another type, ValueError for one out of its range
or a batch or part that does not fit, each naming the argument.
"""

from collections.abc import Callable
from typing import Any

from tsssl_fast.methods.adversarial import AdversarialTraining
from tsssl_fast.methods.barlow_twins import BarlowTwins
from tsssl_fast.methods.base import Batch, Logs, Method, Views
from tsssl_fast.methods.beit import BEiT, BEiTv2
from tsssl_fast.methods.byol import BYOL
from tsssl_fast.methods.clan import CLAN
from tsssl_fast.methods.clip import CLIP
from tsssl_fast.methods.collossl import ColloSSL
from tsssl_fast.methods.contrastive_masked import ContrastiveMasked
from tsssl_fast.methods.contrastive_reconstruction import ContrastiveReconstruction
from tsssl_fast.methods.cross_modal_masked import CrossModalMasked
from tsssl_fast.methods.dino import DINO
from tsssl_fast.methods.dsla import DSLA
from tsssl_fast.methods.forecasting import Forecasting
from tsssl_fast.methods.generated_views import GeneratedViews
from tsssl_fast.methods.instance_discrimination import Exemplar, InstanceDiscrimination
from tsssl_fast.methods.latent_targets import CAE, IBOT, Data2Vec, SdAE
from tsssl_fast.methods.masked_autoencoder import MaskedAutoencoder
from tsssl_fast.methods.masked_features import MaskedFeatures
from tsssl_fast.methods.masked_reconstruction import MaskedReconstruction
from tsssl_fast.methods.mixed_autoencoder import MixedAutoencoder
from tsssl_fast.methods.mmc import MMC, similarity_map
from tsssl_fast.methods.moco import MoCo
from tsssl_fast.methods.moco_v3 import MoCoV3
from tsssl_fast.methods.multi_task import DualMeanTeacher, MultiTask
from tsssl_fast.methods.nnclr import NNCLR
from tsssl_fast.methods.scatsimclr import ScatSimCLR
from tsssl_fast.methods.simclr import SimCLR
from tsssl_fast.methods.simmtm import SimMTM
from tsssl_fast.methods.simsiam import SimSiam
from tsssl_fast.methods.spark import SparK
from tsssl_fast.methods.ssgan import SSGAN, generator_loss
from tsssl_fast.methods.supcon import SupCon
from tsssl_fast.methods.supervised import Supervised
from tsssl_fast.methods.swav import SwAV
from tsssl_fast.methods.test_time_training import TestTimeTraining
from tsssl_fast.methods.tf_c import TFC
from tsssl_fast.methods.transform_prediction import TransformPrediction
from tsssl_fast.methods.ts2vec import TS2Vec
from tsssl_fast.methods.ts_tcc import TSTCC
from tsssl_fast.methods.vicreg import VICReg
from tsssl_fast.methods.voco import VoCo, base_crops
from tsssl_fast.methods.w2v_bert import GumbelQuantizer, W2vBERT
from tsssl_fast.methods.within_clusters import WithinClusters

__all__ = [
    "BYOL",
    "CAE",
    "CLAN",
    "CLIP",
    "DINO",
    "DSLA",
    "IBOT",
    "METHODS",
    "MMC",
    "NEEDS_TOKENS",
    "NNCLR",
    "SSGAN",
    "TFC",
    "TSTCC",
    "AdversarialTraining",
    "BEiT",
    "BEiTv2",
    "BarlowTwins",
    "Batch",
    "ColloSSL",
    "ContrastiveMasked",
    "ContrastiveReconstruction",
    "CrossModalMasked",
    "Data2Vec",
    "DualMeanTeacher",
    "Exemplar",
    "Forecasting",
    "GeneratedViews",
    "GumbelQuantizer",
    "InstanceDiscrimination",
    "Logs",
    "MaskedAutoencoder",
    "MaskedFeatures",
    "MaskedReconstruction",
    "Method",
    "MixedAutoencoder",
    "MoCo",
    "MoCoV3",
    "MultiTask",
    "ScatSimCLR",
    "SdAE",
    "SimCLR",
    "SimMTM",
    "SimSiam",
    "SparK",
    "SupCon",
    "Supervised",
    "SwAV",
    "TS2Vec",
    "TestTimeTraining",
    "TransformPrediction",
    "VICReg",
    "Views",
    "VoCo",
    "W2vBERT",
    "WithinClusters",
    "base_crops",
    "generator_loss",
    "similarity_map",
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
    "instance_discrimination": InstanceDiscrimination.recipe,
    "exemplar": Exemplar.recipe,
    "dsla": DSLA.recipe,
    "data2vec": Data2Vec.recipe,
    "ibot": IBOT.recipe,
    "beit_v2": BEiTv2.recipe,
    "cae": CAE.recipe,
    "sdae": SdAE.recipe,
    "spark": SparK.recipe,
    "forecasting": Forecasting.recipe,
    "scatsimclr": ScatSimCLR.recipe,
    "w2v_bert": W2vBERT.recipe,
    "cross_modal_masked": CrossModalMasked.recipe,
    "mixed_autoencoder": MixedAutoencoder.recipe,
    "mmc": MMC.recipe,
    "s4l": MultiTask.s4l,
    "byol": BYOL.recipe,
    "swav": SwAV.recipe,
    "dino": DINO.recipe,
    "ts2vec": TS2Vec.recipe,
    "ts_tcc": TSTCC.recipe,
    "tf_c": TFC.recipe,
}

# Those whose encoder is a PatchTransformer.
NEEDS_TOKENS = frozenset(
    {
        "masked_autoencoder",
        "beit",
        "beit_v2",
        "cae",
        "contrastive_masked",
        "cross_modal_masked",
        "data2vec",
        "ibot",
        "mixed_autoencoder",
        "mmc",
        "sdae",
        "test_time_training",
        "w2v_bert",
    }
)
