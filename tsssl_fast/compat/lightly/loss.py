"""The losses under the module name that lightly has for them."""

from tsssl_fast.compat.lightly.alignment import NegativeCosineSimilarity
from tsssl_fast.compat.lightly.contrastive import (
    DCLLoss,
    DCLWLoss,
    DirectCLRLoss,
    MemoryBankModule,
    NTXentLoss,
    SupConLoss,
    negative_mises_fisher_weights,
)
from tsssl_fast.compat.lightly.decorrelation import BarlowTwinsLoss, VICRegLoss

__all__ = [
    "BarlowTwinsLoss",
    "DCLLoss",
    "DCLWLoss",
    "DirectCLRLoss",
    "MemoryBankModule",
    "NTXentLoss",
    "NegativeCosineSimilarity",
    "SupConLoss",
    "VICRegLoss",
    "negative_mises_fisher_weights",
]
