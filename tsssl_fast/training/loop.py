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

from tsssl_fast.common import checks
from tsssl_fast.methods.base import Batch, Method
from tsssl_fast.training.monitor import Monitor
from tsssl_fast.training.profile import StepProfile

PRECISIONS = ("auto", "32", "bf16")


@dataclass(frozen=True)
class Settings:
    """How `fit` optimises: AdamW, linear warm-up, then half a cosine to zero, stepwise.

    batch_size: rows of a loss; the incomplete batch at the end of an epoch is left out, and every
    epoch has its own order. accumulate: batches whose mean gradient makes one step of the
    optimizer; each has its own loss and negatives. warmup: share of all steps. weight_decay: not on
    1-D parameters (biases, norms). precision: "bf16" runs the encoder under bfloat16 autocast,
    "auto" does where the hardware has it. device: "auto", "cpu" or "cuda". devices: processes, each
    with batch_size / devices rows of a batch and negatives among its own (DDP; gloo on the CPU).
    """

    epochs: int = 100
    batch_size: int = 256
    lr: float = 3e-3
    weight_decay: float = 1e-3
    warmup: float = 0.05
    seed: int = 0
    precision: str = "auto"
    device: str = "auto"
    accumulate: int = 1
    devices: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "devices"):
            if not (isinstance(value := getattr(self, name), int) and value >= 1):
                raise ValueError(f"{name}: {value}; accepted: an integer >= 1")
        if self.batch_size % self.devices:
            raise ValueError(
                f"batch_size: {self.batch_size}; accepted: a multiple of the {self.devices} devices"
            )
        checks.positive("lr", self.lr)
        for name, high in (("weight_decay", math.inf), ("warmup", 1.0)):
            if not 0 <= getattr(self, name) <= high or not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name}: {getattr(self, name)}; accepted: 0 to {high}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: {self.seed}; accepted: 0 to 2^63 - 1")
        checks.choice("precision", self.precision, PRECISIONS)
        checks.choice("device", self.device, ("auto", "cpu", "cuda"))


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
    if settings.batch_size // settings.devices < method.min_batch:
        raise ValueError(
            f"batch_size: {settings.batch_size}; accepted: {method.min_batch} or more for "
            f"{type(method).__name__}" + (" on each device" if settings.devices > 1 else "")
        )
    if settings.batch_size * settings.accumulate > n:
        raise ValueError(
            f"accumulate: {settings.accumulate} batches of {settings.batch_size}; accepted: at "
            f"most the {n} train series"
        )


def fit(
    method: Method,
    x: Tensor,
    settings: Settings,
    *,
    labels: Tensor | None = None,
    state: State | None = None,
    on_epoch: Callable[[dict[str, float], Callable[[], State]], None] | None = None,
    monitor: Monitor | None = None,
    profile: StepProfile | None = None,
) -> None:
    """Trains `method` in place on series x (N, C, T), all held in memory on the device.

    Args:
        labels: (N,) int64 where the method needs them.
        state: continue from here.
        on_epoch: called after each epoch with its means (epoch, step, lr, loss, seconds, the
            method's logs, the monitor's figures) and a function that takes the state. What it
            raises ends the run. With several devices, on the first alone.
        monitor: measures the encoder after each epoch.
        profile: takes the time of every step's parts.

    The caller's random state is left as it was. Raises ValueError for a batch size that does not
    fit and for missing labels; FloatingPointError where the loss is not finite.
    """
    check_rows(method, len(x), settings)
    if method.needs_labels and labels is None:
        raise ValueError(f"labels: None; {type(method).__name__} needs them")
    fabric = launch(settings)
    automatic = settings.precision == "auto" and has_bf16(fabric.device.type)
    method.bf16 = settings.precision == "bf16" or automatic
    if profile is not None:
        profile.attach(method)
    module, optimizer = fabric.setup(method, adamw(method, settings))
    if state is not None:
        method.load_state_dict(state.model)
        optimizer.load_state_dict(state.optimizer)
    x = fabric.to_device(x)
    labels = None if labels is None else fabric.to_device(labels)
    per_epoch = len(x) // (settings.batch_size * settings.accumulate)
    total = settings.epochs * per_epoch
    with torch.random.fork_rng():
        for epoch in range(state.epoch if state else 0, settings.epochs):
            start = time.perf_counter()
            module.train()
            sums: dict[str, Tensor] = {}
            rows = order(len(x), settings.seed, epoch).to(x.device)
            batches = rows.split(settings.batch_size)
            for index in range(per_epoch):
                lr = rate(epoch * per_epoch + index, total, settings)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                optimizer.zero_grad()
                for part in range(settings.accumulate):
                    if profile is not None:
                        profile.begin()
                    number = index * settings.accumulate + part
                    ids = batches[number][fabric.global_rank :: fabric.world_size]
                    seed = fold(settings.seed, epoch, number)
                    torch.manual_seed(seed)  # for dropout and the like
                    batch = Batch(x[ids], ids, seed, None if labels is None else labels[ids])
                    last = part == settings.accumulate - 1
                    logs = _step(fabric, module, optimizer, method, batch, settings, last, profile)
                    for name, value in logs.items():
                        sums[name] = sums.get(name, 0) + value
            means = _means(fabric, sums, per_epoch * settings.accumulate)
            if not math.isfinite(means["loss"]):
                raise FloatingPointError(
                    f"the loss of epoch {epoch} is {means['loss']}; a smaller lr may help"
                )
            done = epoch + 1
            seconds = time.perf_counter() - start
            row = {"epoch": epoch, "step": done * per_epoch, "lr": lr, "seconds": seconds} | means
            if fabric.is_global_zero:
                if monitor is not None:
                    row |= monitor(method.encoder, method.bf16)
                if on_epoch is not None:
                    on_epoch(row, partial(_state, method, optimizer, done))
            fabric.barrier()
    module.eval()


def launch(settings: Settings) -> Any:
    """A Fabric with its processes running: started by torchrun, or here."""
    from lightning_fabric import Fabric

    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    # Not Fabric's "bf16-mixed": it rounds the series themselves to bfloat16 before the views are
    # made.
    strategy = "ddp" if settings.devices > 1 else "auto"
    fabric = Fabric(
        accelerator=device, devices=settings.devices, strategy=strategy, precision="32-true"
    )
    fabric.launch()
    return fabric


def _step(
    fabric: Any,
    module: Any,
    optimizer: Any,
    method: Method,
    batch: Batch,
    settings: Settings,
    last: bool,
    profile: StepProfile | None,
) -> dict[str, Tensor]:
    """Adds the gradient of a batch, and after the last of a step moves the weights."""

    def forward() -> tuple[Tensor, dict[str, Tensor]]:
        loss, logs = module(batch)
        return loss, {"loss": loss.detach(), **logs}

    def backward(result: tuple[Tensor, dict[str, Tensor]]) -> None:
        fabric.backward(result[0] / settings.accumulate if settings.accumulate > 1 else result[0])

    def update() -> None:
        if last:
            optimizer.step()
            method.after_step()

    with fabric.no_backward_sync(module, enabled=not last):
        if profile is not None:
            return profile.step(forward, backward, update)[1]
        result = forward()
        backward(result)
    update()
    return result[1]


def _means(fabric: Any, sums: dict[str, Tensor], count: int) -> dict[str, float]:
    """Means over the batches, and over the processes."""
    if fabric.world_size > 1:
        sums = {name: fabric.all_reduce(value, reduce_op="mean") for name, value in sums.items()}
    return {name: float(value) / count for name, value in sums.items()}


def _state(method: Method, optimizer: Any, epoch: int) -> State:
    return State(epoch, method.state_dict(), optimizer.state_dict())
