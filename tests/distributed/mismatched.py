"""Calls in which the processes disagree, and what each of them is told."""

from collections.abc import Callable
from typing import Any

import torch

from tsssl_fast import distributed, functional
from tsssl_fast.compat import lightly


def refused(call: Callable[[], Any]) -> str:
    try:
        call()
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def mismatched(rank: int) -> list[str]:
    """What is raised where processes disagree: on each, at once."""
    other, world = int(rank == 1), {"process_group": "world"}
    wide = torch.randn(3, 4 + other)
    double = torch.randn(3, 4, dtype=(torch.float32, torch.float64)[other])
    z, f = torch.randn(3, 4), functional
    calls: list[Callable[[], Any]] = [
        lambda: f.nt_xent_loss(wide, wide, **world),
        lambda: f.vicreg_loss(double, double, **world),
        lambda: f.clip_loss(z, z, temperature=0.1 + other, **world),
        lambda: f.siglip_loss(z, z, ring=bool(other), **world),
        lambda: f.nt_xent_loss(z.clone().requires_grad_(not other), z, **world),
        lambda: (f.dcl_loss if other else f.nt_xent_loss)(z, z, **world),
        lambda: f.sup_con_loss(z, torch.arange(3 + other), **world),
        lambda: f.barlow_twins_loss(z[:other], z[:0], **world),
        lambda: f.hierarchical_contrastive_loss(z[None], wide[None], **world),
        lambda: distributed.gather_rows(z if other else z[:, 0]),
        lambda: f.nt_xent_loss(z, z, process_group="all"),
        lambda: f.nt_xent_loss(z, z, return_stats=bool(other), **world),
        lambda: f.info_nce_loss(z, z, reduction=("mean", "none")[other], **world),
        lambda: f.clip_loss(z[:0], z[:0], **world),
        lambda: f.vicreg_loss(z[:other], z[:other], **world),
        lambda: f.info_nce_loss(z, z, negatives=z if other else None, symmetric=True, **world),
        lambda: f.moco_loss(z, z, z[0] if other else z, **world),
        lambda: f.info_nce_loss(z, z, negatives=z if other else None, **world),
        lambda: f.vicreg_loss(z, *[z] * (1 + other), **world),
        lambda: f.nt_xent_loss(z, *[z] * (1 + other), **world),
        lambda: distributed.sum_over_processes(wide),
        lambda: distributed.sum_over_processes(z[: 2 + other]),
        lambda: lightly.BarlowTwinsLoss(gather_distributed=True)(wide, wide),
    ]
    return [refused(call) for call in calls]


# The message on every process, or on the second one where that alone is wrong.
SAID = [
    "sizes of a row by rank: [(4,), (5,), (4,), (4,)]",
    "dtypes by rank: [torch.float32, torch.float64,",
    "options by rank: [\"('clip_loss', 0.1,",
    "options by rank: [\"('siglip_loss',",
    "gradients by rank: [True, False, True, True]",
    "options by rank: [\"('nt_xent_loss',",
    ("rank 1 refuses its arguments", "labels: shape (4,); accepted: (3,)"),
    ("rank 1 refuses its arguments", "z2: shape (0, 4); accepted: (1, 4) as z1"),
    ("rank 1 refuses its arguments", "z2: shape (1, 3, 5); accepted: (1, 3, 4) as z1"),
    "dimensions by rank: [(1,), (2,), (1,), (1,)]",
    "process_group: 'all'; accepted: a group, 'world' or None",
    "options by rank: [\"('nt_xent_loss', 0.1, True, 'mean', False,",
    "options by rank: [\"('info_nce_loss', 0.1, True, 'mean',",
    "process_group: no rows on any process",
    "z1: 1 rows on all processes; accepted: 2 or more",
    ("rank 1 refuses its arguments", "symmetric: True with negatives; accepted: False"),
    ("rank 1 refuses its arguments", "negatives: shape (4,); accepted: "),
    "options by rank: [\"('info_nce_loss', 0.1,",
    "options by rank: [\"('vicreg_loss', 2,",
    "options by rank: [\"('nt_xent_loss', 0.1,",
    "sizes of a row by rank: [(4,), (5,), (4,), (4,)]",
    "x: rows by rank: [2, 3, 2, 2]; accepted: the same on each",
    "sizes of a row by rank: [(4,), (5,), (4,), (4,)]",
]
