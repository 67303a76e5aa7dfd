"""Every loss of `functional` and every module of `losses`, called on tensors that it is a function
of: what tests of autograd, torch.func, dtypes and compilers go through."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tsssl_fast import functional as f
from tsssl_fast import losses, masking
from tsssl_fast.functional import PairTemperature

V = (4, 3)  # a view
IDS, LENGTHS = torch.tensor([0, 1, 0, 1]), torch.tensor([3, 2])
HIDDEN = torch.tensor([[True, False, True], [False, True, True]]).repeat(2, 1)
SEGMENTS = torch.tensor([[0, 0, 1, 2], [2, 1, 1, 0]])
# Rows sum to 1; one is 0.
TARGETS = torch.tensor([[0.5, 0.5, 0, 0], [0, 1, 0, 0], [0, 0.25, 0.75, 0], [0.125, 0, 0, 0.875]])


class Call(NamedTuple):
    """A loss as a function of tensors of these shapes; `positive`: the last ones are > 0; `second`:
    whether it has a second derivative that is not 0; `constant`: tensors without gradient;
    `weighted`: by a constant that depends on the tensors, so that a gradient is of no function."""

    loss: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...]
    positive: int = 0
    constant: tuple[int, ...] = ()
    second: bool = True
    weighted: bool = False

    def inputs(self, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        found = [torch.randn(s, generator=generator, dtype=torch.float64) for s in self.shapes]
        for i in range(len(found) - self.positive, len(found)):
            found[i] = found[i].abs() + 0.5
        return [x.to(dtype) for x in found]


def _sum_of_squares(loss: Tensor) -> Tensor:
    """Of losses per row: one number with a gradient of its own for each."""
    return loss.square().sum()


def _two(name: str, **options: Any) -> Call:
    function = getattr(f, name)
    return Call(lambda a, b: function(a, b, **options), (V, V))


def _engine(**options: Any) -> Callable[..., Tensor]:
    return lambda q, k, **more: f.contrastive_loss(q, k, **options, **more)


_by_ids = _engine(q_ids=IDS, k_ids=IDS)
CALLS: dict[str, Call] = {
    "nt_xent": _two("nt_xent_loss", temperature=0.5),
    "nt_xent rows": Call(
        lambda a, b: _sum_of_squares(f.nt_xent_loss(a, b, temperature=0.5, reduction="none")),
        (V, V),
    ),
    "nt_xent temperature": Call(
        lambda a, b, t: f.nt_xent_loss(a, b, temperature=t, normalize=False), (V, V, ()), 1
    ),
    "nt_xent temperatures": Call(
        lambda a, b, t: f.nt_xent_loss(a, b, temperature=t), (V, V, (8,)), 1
    ),
    "nt_xent relations": Call(
        lambda a, b, s, t: f.nt_xent_loss(a, b, temperature=PairTemperature(s, t)),
        (V, V, (), ()),
        2,
    ),
    "dcl": _two("dcl_loss", temperature=0.5),
    "dclw": _two("dclw_loss", temperature=0.5)._replace(weighted=True),
    "info_nce": _two("info_nce_loss", symmetric=True),
    "info_nce negatives": Call(lambda q, k, n: f.info_nce_loss(q, k, negatives=n), (V, V, (5, 3))),
    "moco": Call(f.moco_loss, (V, V, (5, 3)), constant=(1, 2)),
    "clip": Call(lambda q, k, t: f.clip_loss(q, k, temperature=t), (V, V, ()), 1),
    "siglip": Call(
        lambda q, k, b, s: f.siglip_loss(q, k, logit_scale=s, logit_bias=b), (V, V, (), ()), 1
    ),
    "siglip ids": Call(
        lambda q, k: f.siglip_loss(q, k, q_ids=IDS, k_ids=IDS[:3], k_valid=IDS[:3] < 1),
        (V, (3, 3)),
    ),
    "sup_con": Call(lambda z: f.sup_con_loss(z, IDS, temperature=0.5), (V,)),
    "triplet": Call(lambda z: f.triplet_loss(z, IDS, margin=1.0), (V,)),
    "contrastive one set": Call(lambda z: f.contrastive_loss(z, q_ids=IDS), (V,)),
    "contrastive own_positive": _two(
        "contrastive_loss", q_ids=IDS, k_ids=IDS, denominator="own_positive"
    ),
    "contrastive hardness": _two(
        "contrastive_loss", q_ids=IDS, k_ids=IDS, hardness=0.5, temperature=0.5
    ),
    "contrastive targets": _two("contrastive_loss", targets=TARGETS),
    "contrastive sparse weight": _two(
        "contrastive_loss", q_ids=IDS, k_ids=IDS, pair_weight=(TARGETS + 1).to_sparse_csr()
    ),
    "contrastive keys": Call(
        lambda q, k, n, o: _by_ids(q, k, negatives=n, query_keys=o), (V, V, (5, 3), (4, 2, 3))
    ),
    "grouped": Call(
        lambda a, b: _sum_of_squares(f.grouped_nt_xent_loss(a, b, temperature=0.5)),
        ((2, 3, 2), (2, 3, 2)),
    ),
    "grouped lengths": Call(
        lambda a, b, t: f.grouped_nt_xent_loss(a, b, temperature=t, lengths=LENGTHS).sum(),
        ((2, 3, 2), (2, 3, 2), ()),
        1,
    ),
    "hierarchical": Call(f.hierarchical_contrastive_loss, ((2, 4, 2), (2, 4, 2))),
    "hierarchical lengths": Call(
        lambda a, b: f.hierarchical_contrastive_loss(a, b, lengths=LENGTHS),
        ((2, 3, 2), (2, 3, 2)),
    ),
    "vicreg": _two("vicreg_loss"),
    "vicreg three views": Call(f.vicreg_loss, (V, V, V)),
    "vicreg vibcreg": _two("vicreg_loss", convention="vibcreg"),
    "vicreg terms": Call(
        lambda a, b: _sum_of_squares(torch.stack(f.vicreg_loss(a, b, return_terms=True)[1:4])),
        (V, V),
    ),
    "barlow_twins": _two("barlow_twins_loss"),
    "covariance": Call(f.covariance_penalty, (V,)),
    "variance": Call(lambda z: f.variance_penalty(z, gamma=3.0), (V,)),
    "invariance": _two("invariance_penalty"),
    "negative cosine": Call(f.negative_cosine_similarity, (V, V), constant=(1,)),
    "negative cosine both": _two("negative_cosine_similarity", stop_gradient=False),
    "mse alignment": Call(f.mse_alignment, (V, V), constant=(1,)),
    "mse alignment both": _two("mse_alignment", stop_gradient=False),
    "smooth l1 alignment": Call(f.smooth_l1_alignment, (V, V), constant=(1,)),
    "smooth l1 alignment both": _two("smooth_l1_alignment", stop_gradient=False),
    "collossl": Call(f.collossl_loss, (V, (2, *V), (1, *V))),
    "clan": _two("clan_loss", temperature=0.5),
    "nnclr": Call(
        lambda a, b, q: f.nnclr_loss(a, b, q, temperature=0.5), (V, V, (5, 3)), constant=(2,)
    ),
    "scgc": Call(lambda z: f.scgc_loss(z, TARGETS), (V,)),
    "groco": Call(lambda z: f.groco_loss(z, hardest=2), ((2, *V),)),
    "group ordering": Call(lambda a, b: f.group_ordering_loss(a, b).sum(), (V, V)),
    "voco": Call(lambda z, b: f.voco_loss(z, b, TARGETS), (V, (4, 4, 3))),
    "regions": Call(
        lambda x, r: f.region_contrastive_loss(x, r, SEGMENTS, temperature=0.5),
        ((2, *V), (2, 3, 3)),
    ),
    "masked": Call(lambda p, t, w: masking.masked_loss(p, t, HIDDEN, weight=w), (V, V, V), 1),
    "masked l1": Call(
        lambda p, t: masking.masked_loss(p, t, HIDDEN, kind="l1"), (V, V), second=False
    ),
}

_LABELS = {losses.SupConLoss, losses.TripletLoss}


def modules() -> dict[str, tuple[nn.Module, Call]]:
    """Every module with a call of it."""
    made: dict[str, Any] = {
        "MoCoLoss": losses.MoCoLoss(3, 6),
        "NNCLRLoss": losses.NNCLRLoss(3, 6),
        "GroCoLoss": losses.GroCoLoss(hardest=2),
        "SigLIPLoss": losses.SigLIPLoss(logit_scale=2.0, logit_bias=-1.0),
    }
    for name in ("MoCoLoss", "NNCLRLoss"):  # their queues have keys
        made[name](torch.randn(4, 3), torch.randn(4, 3))
    made["MoCoLoss"].flush()
    found = {}
    for name in losses.__all__:
        if name == "FeatureQueue":
            continue
        module = made[name] if name in made else getattr(losses, name)()
        shapes: tuple[tuple[int, ...], ...] = (V, V)
        loss: Callable[..., Any] = module
        if type(module) in _LABELS:
            shapes, loss = (V,), _given(module, IDS)
        elif isinstance(module, losses.ContrastiveLoss):
            loss = _given(module, q_ids=IDS, k_ids=IDS)
        elif isinstance(module, (losses.GroupedNTXentLoss, losses.HierarchicalContrastiveLoss)):
            shapes, loss = ((2, 3, 2), (2, 3, 2)), _summed(module)
        elif isinstance(module, losses.GroCoLoss):
            shapes = ((2, *V),)
        elif isinstance(module, losses.ColloSSLLoss):
            loss = _of_devices(module)
        elif isinstance(module, losses.SCGCLoss):
            shapes, loss = (V,), _given(module, TARGETS)
        elif isinstance(module, losses.VoCoLoss):
            shapes, loss = (V, (4, 4, 3)), _given(module, TARGETS)
        elif isinstance(module, losses.RegionContrastiveLoss):
            shapes, loss = ((2, *V), (2, 3, 3)), _given(module, SEGMENTS)
        constant = (1,) if isinstance(module, losses.MoCoLoss) else ()
        weighted = isinstance(module, losses.DCLWLoss)
        found[name] = module.eval(), Call(loss, shapes, constant=constant, weighted=weighted)
    return found


def _given(module: nn.Module, *args: Any, **kwargs: Any) -> Callable[..., Any]:
    return lambda *tensors: module(*tensors, *args, **kwargs)


def _of_devices(module: nn.Module) -> Callable[..., Any]:
    return lambda a, b: module(a, b[None], b.flip(0)[None])


def _summed(module: nn.Module) -> Callable[..., Any]:
    return lambda *tensors: module(*tensors).sum()
