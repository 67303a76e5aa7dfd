"""Losses of other libraries under their own names, forward and backward in float32: ours of
`tsssl_fast.compat`, the library where it is installed, and beside it our own plain-torch
transcription of the formula that it publishes ("transcription", no code of the library), compiled
by Inductor and by its auto-chunker ("chunked"), and torch's linear cross entropy where it applies.
"""

from typing import Any

import torch
from registry import Case, Inputs, Provider, Run, Unavailable
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from suite import settings
from suite.common import (
    Loss,
    compiled_by_torch,
    in_double,
    library,
    on,
    pairs_bytes,
    plain,
    run,
    two_views,
)
from suite.decorrelation import direct as vicreg
from suite.decorrelation import direct_barlow_twins as barlow_twins
from suite.nt_xent import eager as eager_nt_xent
from tsssl_fast import compat
from tsssl_fast.ops.contrastive import spec

SCALE, BIAS = 10.0, -10.0  # those of settings.eager_clip and eager_sigmoid


def nt_xent(tau: float) -> Loss:
    """lightly, solo-learn, pytorch-metric-learning on two views: cross entropy of cosines."""
    return lambda a, b: eager_nt_xent(a, b, tau)


def dcl(a: Tensor, b: Tensor, tau: float = 0.1) -> Tensor:
    u, v = normalize(a, dim=1), normalize(b, dim=1)
    own = torch.eye(len(u), dtype=torch.bool)
    positive = (u * v).sum(1) / tau
    total = a.new_zeros(())
    for x, y in ((u, v), (v, u)):
        away = torch.cat([x @ x.T, x @ y.T], dim=1) / tau
        away = away.masked_fill(own.repeat(1, 2), -torch.inf)
        total = total + (away.logsumexp(1) - positive).mean() / 2
    return total


def sup_con(a: Tensor, b: Tensor) -> Tensor:
    """SupContrast with labels: ten classes in turn."""
    return settings.eager_sup_con(torch.cat([a, b]), settings.labels(len(a)).repeat(2), 0.07)


def info_nce(a: Tensor, b: Tensor) -> Tensor:
    return cross_entropy(settings.logits(a, b), torch.arange(len(a)))


def linear(inputs: Inputs) -> Run:
    """InfoNCE is a linear layer whose weights are the keys; NT-Xent is none, for its diagonal."""
    function: Any = getattr(torch.nn.functional, "linear_cross_entropy", None)
    if function is None:
        raise Unavailable(f"torch {torch.__version__} has no linear_cross_entropy")

    def loss(a: Tensor, b: Tensor) -> Tensor:
        keys = normalize(b, dim=1) / 0.1
        found: Tensor = function(normalize(a, dim=1), keys, torch.arange(len(a)))
        return found

    return run(loss, inputs)


def unit(loss: Any) -> Loss:
    """open_clip takes features that its models have normalised."""
    return lambda a, b: loss(normalize(a, dim=1), normalize(b, dim=1))


def chunked(loss: Loss) -> Provider:
    def build(inputs: Inputs) -> Run:
        from torch._inductor import config

        if not hasattr(config, "auto_chunker"):
            raise Unavailable(f"torch {torch.__version__} has no auto-chunker")
        chunking = config.patch({"auto_chunker.enable": True})
        once = run(torch.compile(loss, dynamic=False), inputs)
        try:
            with chunking:
                once()
        except Exception as error:
            raise Unavailable(f"auto-chunker: {str(error).splitlines()[0][:80]}") from error
        return once

    return build


def by_labels(loss: Any) -> Loss:
    labels: dict[int, Tensor] = {}

    def call(a: Tensor, b: Tensor) -> Tensor:
        ids = labels.setdefault(len(a), torch.arange(len(a)) % 10)
        found: Tensor = loss(torch.stack([normalize(x, dim=1) for x in (a, b)], dim=1), ids)
        return found

    return call


def solo_simclr(a: Tensor, b: Tensor) -> Tensor:
    ids = torch.arange(len(a)).repeat(2)
    return compat.solo_learn.simclr_loss_func(torch.cat([a, b]), ids, 0.1)


def of_metric_learning(module: Any) -> Loss:
    found: Loss = module.SelfSupervisedLoss(module.NTXentLoss(0.5))
    return found


def make(name: str, shape: tuple[int, int], ours: Loss, formula: Loss, **more: Any) -> Case:
    n, dim = shape
    providers = {
        "compat": plain(ours),
        "reference": on("reference", plain(ours)),
        "transcription": plain(formula),
        "compiled": lambda z: run(compiled_by_torch(formula), z),
        **more,
    }
    decorrelated = name.endswith(("vicreg", "barlow_twins"))
    return Case(
        family="decorrelation" if decorrelated else "contrastive",
        operator=f"peer {name}",
        shape=shape,
        inputs=two_views(n, dim),
        draw=two_views(n, dim),
        truth=in_double(formula),
        providers=providers,
        ours="compat",
        baseline="transcription",
        rounding="reference",  # as spec.py: a formula's own order of sums is no bound
        factor=spec.ERROR_FACTOR,
        flops=2.0 * (2 * n) ** 2 * dim,
        bars={"ratio": 2.0} if name == "lightly nt_xent" else {},
        needs=8.0 * 6 * dim * dim if decorrelated else pairs_bytes((2 * n) ** 2),
        quick=name in ("pml nt_xent", "info_nce"),
    )


def cases() -> list[Case]:
    lightly, wide = compat.lightly, (1024, 128)
    own = compat.pytorch_metric_learning.losses
    scaled = {"logit_scale": SCALE}

    def open_clip(loss: Any, **options: float) -> Loss:
        return unit(lambda a, b: loss(a, b, **options))

    return [
        make(
            "lightly nt_xent",
            wide,
            lightly.NTXentLoss(),
            nt_xent(0.5),
            chunked=chunked(nt_xent(0.5)),
        ),
        make("lightly dcl", wide, lightly.DCLLoss(), dcl),
        make("lightly vicreg", (256, 2048), lightly.VICRegLoss(), vicreg),
        make("lightly barlow_twins", (256, 2048), lightly.BarlowTwinsLoss(), barlow_twins),
        make("solo simclr", wide, solo_simclr, nt_xent(0.1)),
        make("official vicreg", wide, compat.vicreg.VICRegLoss(), vicreg),
        make("supcontrast", wide, by_labels(compat.supcontrast.SupConLoss()), sup_con),
        make(
            "open_clip clip",
            wide,
            open_clip(compat.open_clip.ClipLoss(), **scaled),
            settings.eager_clip,
        ),
        make(
            *("open_clip siglip", wide),
            open_clip(compat.open_clip.SigLipLoss(), logit_bias=BIAS, **scaled),
            settings.eager_sigmoid,
        ),
        make(
            *("pml nt_xent", (128, 128), of_metric_learning(own), nt_xent(0.5)),
            library=library("pytorch_metric_learning.losses", of_metric_learning),
        ),
        make(
            *("info_nce", wide, compat.info_nce.InfoNCE(), info_nce),
            library=library("info_nce", lambda module: module.InfoNCE()),
            linear=linear,
            chunked=chunked(info_nce),
        ),
    ]


CASES = cases()
