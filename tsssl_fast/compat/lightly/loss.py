"""The losses under the module name that lightly has for them."""

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
