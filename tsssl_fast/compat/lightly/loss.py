"""The losses under the module name that lightly has for them.

Embeddings are floating; results have their dtype. Errors as in `tsssl_fast.compat.lightly`:
ValueError for a shape or value that is not accepted, TypeError for another dtype, AssertionError
where the library asserts.
"""

from tsssl_fast.compat._shared import refusing
from tsssl_fast.compat.lightly.alignment import (
    KoLeoLoss,
    NegativeCosineSimilarity,
    SymNegCosineSimilarityLoss,
    VICRegLLoss,
)
from tsssl_fast.compat.lightly.clustering import DINOLoss, IBOTPatchLoss, MSNLoss, SwaVLoss
from tsssl_fast.compat.lightly.contrastive import (
    DCLLoss,
    DCLWLoss,
    DirectCLRLoss,
    MemoryBankModule,
    NTXentLoss,
    SupConLoss,
    negative_mises_fisher_weights,
)
from tsssl_fast.compat.lightly.decorrelation import (
    BarlowTwinsLoss,
    MMCRLoss,
    TiCoLoss,
    VICRegLoss,
)

__all__ = [
    "BarlowTwinsLoss",
    "DCLLoss",
    "DCLWLoss",
    "DINOLoss",
    "DirectCLRLoss",
    "IBOTPatchLoss",
    "KoLeoLoss",
    "MMCRLoss",
    "MSNLoss",
    "MemoryBankModule",
    "NTXentLoss",
    "NegativeCosineSimilarity",
    "SupConLoss",
    "SwaVLoss",
    "SymNegCosineSimilarityLoss",
    "TiCoLoss",
    "VICRegLLoss",
    "VICRegLoss",
    "negative_mises_fisher_weights",
]

_OWN = "lightly's own works beside ours"
_OF_MASKS = "functional.contrastive_loss takes the ids of masks as q_ids and k_ids"
_UNIFORM = "MSNLoss holds the mean assignment to a uniform one"
NOT_HERE = {
    "CAPILoss": _OWN,
    "DetConBLoss": _OF_MASKS,
    "DetConSLoss": _OF_MASKS,
    "EMPSSLLoss": _OWN,
    "FroSSLLoss": _OWN,
    "HypersphereLoss": _OWN,
    "IBOTPlusPlusPatchLoss": _OWN,
    "LeJEPALoss": _OWN,
    "LeWMLoss": _OWN,
    "MACLLoss": _OWN,
    "PMSNCustomLoss": _UNIFORM,
    "PMSNLoss": _UNIFORM,
    "PatchKernelAlignmentLoss": _OWN,
    "SIGReg": _OWN,
    "VISRegLoss": _OWN,
    "VISRegLossComponents": _OWN,
    "WMSELoss": _OWN,
    "Whitening2d": _OWN,
    "roi_resample_to_grid": _OWN,
}

__getattr__ = refusing(__name__, NOT_HERE)
