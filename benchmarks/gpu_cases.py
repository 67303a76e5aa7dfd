"""What gpu_run.py checks and times: losses of every family, at the sizes where peers publish."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import augment, functional
from tsssl_fast.ops.contrastive import spec as contrastive
from tsssl_fast.ops.decorrelation import spec as decorrelation

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
TAU = 0.1


class Unavailable(Exception):
    """A provider that is not installed or does not offer the case."""


@dataclass(frozen=True)
class Gate:
    """inputs: (device, tiny) -> tensors; loss: called with them and backend=. The first word of
    the name is that of the cases it guards."""

    name: str
    inputs: Callable[[str, bool], list[Tensor]]
    loss: Callable[..., Tensor]
    factor: float
    dry_dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.bfloat16)


@dataclass(frozen=True)
class Case:
    """providers(name) -> loss of the inputs, or raises Unavailable."""

    name: str
    inputs: Callable[[str], list[Tensor]]
    providers: Callable[[str], Callable[..., Tensor]]
    dtypes: tuple[torch.dtype, ...] = (torch.bfloat16,)


def _views(n: int, dim: int, device: str) -> list[Tensor]:
    z = torch.randn(n, dim, device=device)
    return [z, z + 0.5 * torch.randn(n, dim, device=device)]


def _gate_views(n: int, dim: int) -> Callable[[str, bool], list[Tensor]]:
    return lambda device, tiny: _views(7 if tiny else n, min(dim, 12) if tiny else dim, device)


def _nt_xent(a: Tensor, b: Tensor, backend: str) -> Tensor:
    return functional.nt_xent_loss(a, b, temperature=TAU, reduction="none", backend=backend)


def _mean(a: Tensor, b: Tensor, backend: str) -> Tensor:
    """As in training: of wide rows the gradient is computed in the forward."""
    return functional.nt_xent_loss(a, b, temperature=TAU, backend=backend)


def _low(a: Tensor, b: Tensor, backend: str) -> Tensor:
    return functional.nt_xent_loss(a, b, temperature=0.01, reduction="none", backend=backend)


def _clip(a: Tensor, b: Tensor, backend: str) -> Tensor:
    return functional.clip_loss(a, b, temperature=TAU, reduction="none", backend=backend)


def _sup_con(a: Tensor, b: Tensor, backend: str) -> Tensor:
    labels = torch.arange(len(a), device=a.device) % 5
    return functional.sup_con_loss(
        torch.cat([a, b]), labels.repeat(2), temperature=TAU, reduction="none", backend=backend
    )


def _vicreg(a: Tensor, b: Tensor, backend: str) -> Tensor:
    return functional.vicreg_loss(a, b, backend=backend)


def _barlow(a: Tensor, b: Tensor, backend: str) -> Tensor:
    return functional.barlow_twins_loss(a, b, backend=backend)


def _series(n: int, channels: int, steps: int) -> Callable[[str, bool], list[Tensor]]:
    def make(device: str, tiny: bool) -> list[Tensor]:
        size = (3, 2, 37) if tiny else (n, channels, steps)
        return [torch.randn(size, device=device)]

    return make


def _augment(x: Tensor, backend: str) -> Tensor:
    return augment.presets.simclr_ts()(x, 2, seed=0, backend=backend)


GATES = (
    Gate("nt_xent 1023 x 96", _gate_views(1023, 96), _nt_xent, contrastive.ERROR_FACTOR),
    Gate("nt_xent 777 x 256", _gate_views(777, 256), _nt_xent, contrastive.ERROR_FACTOR),
    Gate("nt_xent chunked 515 x 768", _gate_views(515, 768), _nt_xent, contrastive.ERROR_FACTOR),
    Gate("nt_xent fused 515 x 768", _gate_views(515, 768), _mean, contrastive.ERROR_FACTOR),
    Gate("nt_xent tau 0.01", _gate_views(513, 128), _low, contrastive.ERROR_FACTOR),
    Gate("clip 1000 x 128", _gate_views(1000, 128), _clip, contrastive.ERROR_FACTOR),
    Gate("clip chunked 500 x 700", _gate_views(500, 700), _clip, contrastive.ERROR_FACTOR),
    Gate("sup_con 300 x 128", _gate_views(300, 128), _sup_con, contrastive.ERROR_FACTOR),
    Gate("vicreg 300 x 500", _gate_views(300, 500), _vicreg, decorrelation.ERROR_FACTOR),
    Gate("barlow 300 x 500", _gate_views(300, 500), _barlow, decorrelation.ERROR_FACTOR),
    # The bits of the reference: at most its own error.
    Gate("augment 256 x 9 x 128", _series(256, 9, 128), _augment, 1.0),
)


def _eager_nt_xent(z1: Tensor, z2: Tensor) -> Tensor:
    """As it is usually written: normalise, all similarities, cross entropy."""
    z = torch.nn.functional.normalize(torch.cat([z1, z2]).float(), dim=1).to(z1.dtype)
    logits = (z @ z.T).float() / TAU
    logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -torch.inf)
    return torch.nn.functional.cross_entropy(
        logits, torch.arange(len(z), device=z.device).roll(len(z1))
    )


def _eager_clip(a: Tensor, b: Tensor) -> Tensor:
    u, v = (torch.nn.functional.normalize(x.float(), dim=1).to(x.dtype) for x in (a, b))
    logits = (u @ v.T).float() / TAU
    target = torch.arange(len(a), device=a.device)
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def _lightly() -> Any:
    try:
        from lightly.loss import NTXentLoss
    except ImportError as error:
        raise Unavailable(str(error)) from error
    return NTXentLoss(temperature=TAU)


def _inf_cl() -> Callable[..., Tensor]:
    """Inf-CLIP's one direction, called twice."""
    try:
        from inf_cl import cal_inf_loss
    except ImportError as error:
        raise Unavailable(str(error)) from error

    def loss(a: Tensor, b: Tensor) -> Tensor:
        u, v = (torch.nn.functional.normalize(x, dim=1) for x in (a, b))
        return (cal_inf_loss(u, v, scale=1 / TAU) + cal_inf_loss(v, u, scale=1 / TAU)) / 2

    return loss


def _providers(
    ours: Callable[..., Tensor], eager: Callable[..., Tensor] | None, **peers: Callable[[], Any]
) -> Callable[[str], Callable[..., Tensor]]:
    def provider(name: str) -> Callable[..., Tensor]:
        if name == "triton":
            return lambda *a: ours(*a, backend="triton").mean()
        if name in ("eager", "compile") and eager is not None:
            return eager if name == "eager" else torch.compile(eager)
        if name in peers:
            return peers[name]()
        raise Unavailable(f"{name} has no such loss here")

    return provider


def _plain(ours: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *a: ours(*a, backend="reference").mean()


_NT_XENT = _providers(_mean, _eager_nt_xent, lightly=_lightly)
_CLIP = _providers(_clip, _eager_clip, inf_cl=_inf_cl)
CASES = (
    *(
        Case(f"nt_xent {n} x {dim}", lambda d, n=n, k=dim: _views(n, k, d), _NT_XENT, DTYPES)
        for n, dim in ((256, 128), (1024, 128), (4096, 128), (4096, 256), (4096, 768))
    ),
    *(
        Case(f"nt_xent {n} x {dim}", lambda d, n=n, k=dim: _views(n, k, d), _NT_XENT)
        for n, dim in ((16384, 128), (65536, 128), (65536, 256), (65536, 768))
    ),
    *(
        Case(f"clip {n} x {dim}", lambda d, n=n, k=dim: _views(n, k, d), _CLIP)
        for n, dim in ((4096, 512), (16384, 512), (65536, 512), (65536, 768))
    ),
    *(
        Case(f"{name} {n} x {dim}", lambda d, n=n, k=dim: _views(n, k, d), providers)
        for name, providers in (
            ("vicreg", _providers(_vicreg, _plain(_vicreg))),
            ("barlow", _providers(_barlow, _plain(_barlow))),
        )
        for n, dim in ((256, 2048), (256, 8192), (2048, 2048))
    ),
    *(
        Case(
            f"augment {n} x {channels} x {steps}",
            lambda d, size=(n, channels, steps): [torch.randn(size, device=d)],
            _providers(_augment, _plain(_augment)),
            (torch.float32,),
        )
        for n, channels, steps in ((256, 9, 128), (1024, 9, 128), (4096, 3, 315))
    ),
)
