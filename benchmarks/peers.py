"""Losses of other libraries under their own names, forward and backward in float32: ours of
`tsssl_fast.compat`, the library where it is installed, and beside it our own plain-torch
transcription of the formula that it publishes ("transcription", no code of the library), compiled
by Inductor and by its auto-chunker ("chunked"), and torch's linear cross entropy where it applies.
"""

from collections.abc import Callable
from typing import Any

import torch
from nt_xent import Inputs, Loss, compiled_by_torch, run
from registry import Case, Run, Unavailable
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid, normalize

from tsssl_fast import compat
from tsssl_fast.ops.contrastive import spec

SCALE, BIAS = 10.0, -10.0


def nt_xent(a: Tensor, b: Tensor, tau: float = 0.5) -> Tensor:
    """lightly, solo-learn, pytorch-metric-learning on two views: cross entropy of cosines."""
    z = normalize(torch.cat([a, b]), dim=1)
    logits = (z @ z.T / tau).fill_diagonal_(-torch.inf)
    return cross_entropy(logits, torch.arange(len(z)).roll(len(a)))


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


def vicreg(a: Tensor, b: Tensor) -> Tensor:
    def spread(z: Tensor) -> Tensor:
        return (1 - (z.var(0) + 1e-4).sqrt()).relu().mean() / 2

    def repeats(z: Tensor) -> Tensor:
        z = z - z.mean(0)
        c = z.T @ z / (len(z) - 1)
        return (c.square().sum() - c.diagonal().square().sum()) / z.shape[1]

    return 25 * (a - b).square().mean() + 25 * (spread(a) + spread(b)) + repeats(a) + repeats(b)


def barlow_twins(a: Tensor, b: Tensor) -> Tensor:
    x, y = (torch.nn.functional.batch_norm(z, None, None, training=True) for z in (a, b))
    c = x.T @ y / len(a)
    on = c.diagonal()
    return (1 - on).square().sum() + 5e-3 * (c.square().sum() - on.square().sum())


def sup_con(a: Tensor, b: Tensor) -> Tensor:
    """SupContrast with labels: ten classes in turn."""
    z = torch.stack([normalize(a, dim=1), normalize(b, dim=1)]).flatten(0, 1)
    labels = (torch.arange(len(a)) % 10).repeat(2)
    apart = ~torch.eye(len(z), dtype=torch.bool)
    positive = (labels[:, None] == labels) & apart
    logits = z @ z.T / 0.07
    log_p = logits - logits.masked_fill(~apart, -torch.inf).logsumexp(1, keepdim=True)
    return -((log_p * positive).sum(1) / positive.sum(1)).mean()


def clip(a: Tensor, b: Tensor) -> Tensor:
    logits = SCALE * normalize(a, dim=1) @ normalize(b, dim=1).T
    rows = torch.arange(len(a))
    return (cross_entropy(logits, rows) + cross_entropy(logits.T, rows)) / 2


def siglip(a: Tensor, b: Tensor) -> Tensor:
    logits = SCALE * normalize(a, dim=1) @ normalize(b, dim=1).T + BIAS
    sign = 2 * torch.eye(len(a), dtype=a.dtype) - 1
    return -logsigmoid(sign * logits).sum() / len(a)


def info_nce(a: Tensor, b: Tensor) -> Tensor:
    logits = normalize(a, dim=1) @ normalize(b, dim=1).T / 0.1
    return cross_entropy(logits, torch.arange(len(a)))


def linear_cross_entropy(a: Tensor, b: Tensor) -> Tensor:
    """InfoNCE is a linear layer whose weights are the keys; NT-Xent is none, for its diagonal."""
    function: Any = getattr(torch.nn.functional, "linear_cross_entropy", None)
    if function is None:
        raise Unavailable(f"torch {torch.__version__} has no linear_cross_entropy")
    keys = normalize(b, dim=1) / 0.1
    loss: Tensor = function(normalize(a, dim=1), keys, torch.arange(len(a)))
    return loss


def unit(loss: Any) -> Loss:
    """open_clip takes features that its models have normalised."""
    return lambda a, b: loss(normalize(a, dim=1), normalize(b, dim=1))


def chunked(loss: Loss) -> Callable[[Inputs], Run]:
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


def library(module: str, build: Callable[[Any], Loss]) -> Callable[[Inputs], Run]:
    """A library itself."""

    def made(inputs: Inputs) -> Run:
        import importlib

        try:
            found = importlib.import_module(module)
        except ImportError as error:
            raise Unavailable(f"{module}: not installed") from error
        return run(build(found), inputs)

    return made


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


def make(name: str, shape: tuple[int, int], ours: Loss, plain: Loss, **more: Any) -> Case:
    n, dim = shape

    def inputs() -> Inputs:
        generator = torch.Generator().manual_seed(0)
        a = torch.randn(n, dim, generator=generator)
        return a, a + 0.5 * torch.randn(n, dim, generator=generator)

    providers = {
        "compat": lambda z: run(ours, z),
        "transcription": lambda z: run(plain, z),
        "compiled": lambda z: run(compiled_by_torch(plain), z),
        **more,
    }
    return Case(
        name=f"peer {name} {n}x{dim}",
        inputs=inputs,
        truth=lambda z: run(plain, tuple(x.double() for x in z))(),
        providers=providers,
        ours="compat",
        baseline="transcription",
        factor=spec.ERROR_FACTOR,
        flops=2.0 * (2 * n) ** 2 * dim,
        bytes=4.0 * 4 * n * dim,
        bars={"ratio": 2.0} if name == "lightly nt_xent" else {},
    )


def cases() -> list[Case]:
    lightly, wide = compat.lightly, (1024, 128)
    own = compat.pytorch_metric_learning.losses
    scaled = {"logit_scale": SCALE}

    def open_clip(loss: Any, **options: float) -> Loss:
        return unit(lambda a, b: loss(a, b, **options))

    def at(tau: float) -> Loss:
        return lambda a, b: nt_xent(a, b, tau)

    return [
        make("lightly nt_xent", wide, lightly.NTXentLoss(), nt_xent, chunked=chunked(nt_xent)),
        make("lightly dcl", wide, lightly.DCLLoss(), dcl),
        make("lightly vicreg", (256, 2048), lightly.VICRegLoss(), vicreg),
        make("lightly barlow_twins", (256, 2048), lightly.BarlowTwinsLoss(), barlow_twins),
        make("solo simclr", wide, solo_simclr, at(0.1)),
        make("official vicreg", wide, compat.vicreg.VICRegLoss(), vicreg),
        make("supcontrast", wide, by_labels(compat.supcontrast.SupConLoss()), sup_con),
        make("open_clip clip", wide, open_clip(compat.open_clip.ClipLoss(), **scaled), clip),
        make(
            *("open_clip siglip", wide),
            open_clip(compat.open_clip.SigLipLoss(), logit_bias=BIAS, **scaled),
            siglip,
        ),
        make(
            *("pml nt_xent", (128, 128), of_metric_learning(own), nt_xent),
            library=library("pytorch_metric_learning.losses", of_metric_learning),
        ),
        make(
            *("info_nce", wide, compat.info_nce.InfoNCE(), info_nce),
            library=library("info_nce", lambda module: module.InfoNCE()),
            linear=lambda z: run(linear_cross_entropy, z),
            chunked=chunked(info_nce),
        ),
    ]


CASES = cases()
