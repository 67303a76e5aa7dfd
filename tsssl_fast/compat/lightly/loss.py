"""The losses under the module name that lightly has for them.

Embeddings are floating; results have their dtype. Errors as in `tsssl_fast.compat.lightly`:
ValueError for a shape or value that is not accepted, TypeError for another dtype, AssertionError
where the library asserts.
"""

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
