"""The loop, on Lightning Fabric (README.md has the figures behind that choice).

Batches, augmentations and torch's own draws are functions of (seed, epoch, step), so a run that
stops after any epoch and goes on from its state ends with the same bits as one that never stopped.
"""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast import _checks
from tsssl_fast.methods.base import Batch, Method

PRECISIONS = ("auto", "32", "bf16")


@dataclass(frozen=True)
class Settings:
    """How `fit` optimises: AdamW, linear warm-up, then half a cosine to zero, stepwise.

    batch_size: rows of a step; the incomplete batch at the end of an epoch is left out, and every
    epoch has its own order. warmup: share of all steps. weight_decay: not on 1-D parameters
    (biases, norms). precision: "bf16" runs the encoder under bfloat16 autocast, "auto" does where
    the hardware has it. device: "auto", "cpu" or "cuda".
    """

    epochs: int = 100
    batch_size: int = 256
    lr: float = 3e-3
    weight_decay: float = 1e-3
    warmup: float = 0.05
    seed: int = 0
    precision: str = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if not (isinstance(value := getattr(self, name), int) and value >= 1):
                raise ValueError(f"{name}: {value}; accepted: an integer >= 1")
        _checks.positive("lr", self.lr)
        for name, high in (("weight_decay", math.inf), ("warmup", 1.0)):
            if not 0 <= getattr(self, name) <= high or not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name}: {getattr(self, name)}; accepted: 0 to {high}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: {self.seed}; accepted: 0 to 2^63 - 1")
        _checks.choice("precision", self.precision, PRECISIONS)
        _checks.choice("device", self.device, ("auto", "cpu", "cuda"))


@dataclass(frozen=True)
class State:
    """All that continuing needs: the epochs done, the module's and the optimizer's state."""

    epoch: int
    model: dict[str, Any] = field(repr=False)
    optimizer: dict[str, Any] = field(repr=False)


def fold(*numbers: int) -> int:
    """A 63-bit seed from several integers; unlike a sum, (0, 1) and (1, 0) do not meet."""
    digest = hashlib.blake2b(b"".join(n.to_bytes(8, "little") for n in numbers), digest_size=8)
    return int.from_bytes(digest.digest(), "little") >> 1


def order(n: int, seed: int, epoch: int) -> Tensor:
    """The permutation of the rows in an epoch: (n,) int64."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(fold(seed, epoch)))


def rate(step: int, steps: int, settings: Settings) -> float:
    """The learning rate of a step in [0, steps)."""
    warm = round(settings.warmup * steps)
    if step < warm:
        return settings.lr * (step + 1) / warm
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def has_bf16(device: str) -> bool:
    """Whether bfloat16 products run in hardware."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(known and known())


def adamw(module: nn.Module, settings: Settings) -> torch.optim.AdamW:
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


def check_rows(method: Method, n: int, settings: Settings) -> None:
    if settings.batch_size > n:
        raise ValueError(
            f"batch_size: {settings.batch_size}; accepted: at most the {n} train series"
        )
    if settings.batch_size < method.min_batch:
        raise ValueError(
            f"batch_size: {settings.batch_size}; accepted: {method.min_batch} or more for "
            f"{type(method).__name__}"
        )


def fit(
    method: Method,
    x: Tensor,
    settings: Settings,
    *,
    labels: Tensor | None = None,
    state: State | None = None,
    on_epoch: Callable[[dict[str, float], Callable[[], State]], None] | None = None,
) -> None:
    """Trains `method` in place on series x (N, C, T), all held in memory on the device.

    Args:
        labels: (N,) int64 where the method needs them.
        state: continue from here.
        on_epoch: called after each epoch with its means (epoch, step, lr, loss, seconds, the
            method's logs) and a function that takes the state. What it raises ends the run.

    The caller's random state is left as it was. Raises ValueError for a batch size that does not
    fit and for missing labels; FloatingPointError where the loss is not finite.
    """
    from lightning_fabric import Fabric

    check_rows(method, len(x), settings)
    if method.needs_labels and labels is None:
        raise ValueError(f"labels: None; {type(method).__name__} needs them")
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    automatic = settings.precision == "auto" and has_bf16(device)
    method.bf16 = settings.precision == "bf16" or automatic
    # Not Fabric's "bf16-mixed": it rounds the series themselves to bfloat16 before the views are
    # made.
    fabric = Fabric(accelerator=device, devices=1, precision="32-true")
    module, optimizer = fabric.setup(method, adamw(method, settings))
    if state is not None:
        method.load_state_dict(state.model)
        optimizer.load_state_dict(state.optimizer)
    x = fabric.to_device(x)
    labels = None if labels is None else fabric.to_device(labels)
    per_epoch = len(x) // settings.batch_size
    total = settings.epochs * per_epoch
    module.train()
    with torch.random.fork_rng():
        for epoch in range(state.epoch if state else 0, settings.epochs):
            start = time.perf_counter()
            sums: dict[str, Tensor] = {}
            rows = order(len(x), settings.seed, epoch).to(x.device)
            for index, ids in enumerate(rows.split(settings.batch_size)[:per_epoch]):
                step = epoch * per_epoch + index
                seed = fold(settings.seed, epoch, index)
                torch.manual_seed(seed)  # for dropout and the like
                lr = rate(step, total, settings)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                batch = Batch(x[ids], ids, seed, None if labels is None else labels[ids])
                optimizer.zero_grad()
                loss, logs = module(batch)
                fabric.backward(loss)
                optimizer.step()
                method.after_step()
                for name, value in {"loss": loss.detach(), **logs}.items():
                    sums[name] = sums.get(name, 0) + value
            means = {name: float(value) / per_epoch for name, value in sums.items()}
            if not math.isfinite(means["loss"]):
                raise FloatingPointError(
                    f"the loss of epoch {epoch} is {means['loss']}; a smaller lr may help"
                )
            if on_epoch is not None:
                done = epoch + 1
                seconds = time.perf_counter() - start
                row = {"epoch": epoch, "step": done * per_epoch, "lr": lr, "seconds": seconds}
                on_epoch(row | means, partial(_state, method, optimizer, done))
    module.eval()


def _state(method: Method, optimizer: Any, epoch: int) -> State:
    return State(epoch, method.state_dict(), optimizer.state_dict())
