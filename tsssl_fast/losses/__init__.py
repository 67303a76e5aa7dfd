"""The losses as modules, with the names that the field uses.

Dtypes, results and errors of a call are those of the function that the module names. Construction
raises TypeError for a setting of another type and ValueError for one out of range, naming it.
"""

from tsssl_fast.losses.contrastive import (
    CLIPLoss,
    ContrastiveLoss,
    DCLLoss,
    DCLWLoss,
    InfoNCELoss,
    NTXentLoss,
    SupConLoss,
)
from tsssl_fast.losses.decorrelation import BarlowTwinsLoss, VICRegLoss
from tsssl_fast.losses.moco import MoCoLoss
from tsssl_fast.losses.neighbours import (
    CLANLoss,
    ColloSSLLoss,
    GroCoLoss,
    NNCLRLoss,
    RegionContrastiveLoss,
    SCGCLoss,
    VoCoLoss,
)
from tsssl_fast.losses.pairwise import (
    GroupedNTXentLoss,
    HierarchicalContrastiveLoss,
    SigLIPLoss,
    TripletLoss,
)
from tsssl_fast.losses.queue import FeatureQueue

__all__ = [
    "BarlowTwinsLoss",
    "CLANLoss",
    "CLIPLoss",
    "ColloSSLLoss",
    "ContrastiveLoss",
    "DCLLoss",
    "DCLWLoss",
    "FeatureQueue",
    "GroCoLoss",
    "GroupedNTXentLoss",
    "HierarchicalContrastiveLoss",
    "InfoNCELoss",
    "MoCoLoss",
    "NNCLRLoss",
    "NTXentLoss",
    "RegionContrastiveLoss",
    "SCGCLoss",
    "SigLIPLoss",
    "SupConLoss",
    "TripletLoss",
    "VICRegLoss",
    "VoCoLoss",
]
