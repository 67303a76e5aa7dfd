"""The losses as modules, with the names that the field uses."""

from tsssl_fast.losses.contrastive import (
    CLIPLoss,
    DCLLoss,
    DCLWLoss,
    HierarchicalContrastiveLoss,
    InfoNCELoss,
    MoCoLoss,
    NTXentLoss,
    SigLIPLoss,
    SupConLoss,
    TripletLoss,
)
from tsssl_fast.losses.decorrelation import BarlowTwinsLoss, VICRegLoss
from tsssl_fast.losses.queue import FeatureQueue

__all__ = [
    "BarlowTwinsLoss",
    "CLIPLoss",
    "DCLLoss",
    "DCLWLoss",
    "FeatureQueue",
    "HierarchicalContrastiveLoss",
    "InfoNCELoss",
    "MoCoLoss",
    "NTXentLoss",
    "SigLIPLoss",
    "SupConLoss",
    "TripletLoss",
    "VICRegLoss",
]
