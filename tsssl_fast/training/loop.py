"""The loop, on Lightning Fabric (README.md has the figures behind that choice).

Batches, augmentations and torch's own draws are functions of (seed, epoch, step), so a run that
stops after any epoch and goes on from its state ends with the same bits as one that never stopped.
"""

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast.data import Series, collected
from tsssl_fast.distributed import SyncBatchNorm
from tsssl_fast.encoders import padding
from tsssl_fast.methods.base import Batch, Method
from tsssl_fast.training.devices import device
from tsssl_fast.training.monitor import Monitor
from tsssl_fast.training.profile import StepProfile
from tsssl_fast.training.settings import Settings, started_processes

# oneDNN, as of torch 2.13, leaves parts of the weight gradient of a strided bfloat16 convolution
# unwritten where its input is a single step: `ResNet` comes to that with 4 steps or fewer.
LEAST_BF16_STEPS = 8

FACTOR = "rate_factor"  # of a group of parameters


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
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(known and known())


def adamw(
    module: nn.Module, settings: Settings, rates: Mapping[Tensor, float] | None = None
) -> torch.optim.AdamW:
    """rates: factors on the learning rate; of parameters that are not in it: 1."""
    factors = {p: (rates or {}).get(p, 1.0) for p in module.parameters() if p.requires_grad}
    groups: list[dict[str, Any]] = []
    for factor in sorted(set(factors.values()), reverse=True):
        own = [p for p, of_p in factors.items() if of_p == factor]
        more = {} if factor == 1 else {FACTOR: factor}
        wide, narrow = [p for p in own if p.dim() > 1], [p for p in own if p.dim() <= 1]
        groups.append({"params": wide, "weight_decay": settings.weight_decay, **more})
        groups.append({"params": narrow, "weight_decay": 0.0, **more})
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


def check_rows(method: Method, n: int, settings: Settings) -> None:
    if not (settings.epochs and settings.batch_size and settings.lr):
        raise ValueError("settings: left open for a data set; accepted: `Config.resolved(data)`")
    if n < method.min_batch:
        raise ValueError(
            f"data: {n} series; accepted: {method.min_batch} or more for {type(method).__name__}; "
            "a recording is cut by window=128 or another length"
        )
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
    x: Tensor | Series | Iterable[Any],
    settings: Settings,
    *,
    labels: Tensor | None = None,
    lengths: Tensor | None = None,
    state: State | None = None,
    on_epoch: Callable[[dict[str, float], Callable[[], State]], Any] | None = None,
    monitor: Monitor | None = None,
    profile: StepProfile | None = None,
    rates: Mapping[Tensor, float] | None = None,
) -> None:
    """Trains `method` in place on scaled series x (N, C, T).

    Args:
        x: a tensor, which is held on the device; `data.Series`, of which a batch at a time is read;
            or an iterable of batches (n_i, C, T), float tensors or arrays, which is gone through
            once, into a temporary file (see `data.collected`): each epoch draws its own batches.
        labels: (N,) int64 where the method needs them.
        lengths: (N,) int64 in 1 to T, of series that end before T; what comes after is padding,
            which no view, mask or feature depends on.
        state: continue from here.
        on_epoch: called after each epoch with its means (epoch, step, lr, loss, seconds, the
            method's logs, the monitor's figures) and a function that takes the state. What it
            raises ends the run, and so does True. With several devices, on the first alone.
        monitor: measures the encoder after each epoch.
        profile: takes the time of every step's parts.
        rates: parameter -> factor on its learning rate; 1 where it is not in it.

    The caller's random state is left as it was. Raises ValueError for a batch size that does not
    fit and for missing labels; FloatingPointError where the loss is not finite.
    """
    series: Any = x if isinstance(x, Tensor | Series) else Series(collected(x))
    check_rows(method, len(series), settings)
    if method.needs_labels and labels is None:
        raise ValueError(f"labels: None; {type(method).__name__} needs them")
    if lengths is not None:
        lengths = _checked(method, series, lengths)
    fabric = launch(settings)
    short = series.shape[-1] < LEAST_BF16_STEPS
    automatic = settings.amp == "auto" and has_bf16(fabric.device.type) and not short
    method.bf16 = settings.amp == "bf16" or automatic
    method.allow(None if settings.precision == "torch" else settings.precision)
    if profile is not None:
        profile.attach(method)
    if settings.devices > 1 and settings.batch_norm == "all":
        kind: Any = nn.SyncBatchNorm if fabric.device.type == "cuda" else SyncBatchNorm
        kind.convert_sync_batchnorm(method)
    module, optimizer = fabric.setup(method, adamw(method, settings, rates))
    if state is not None:
        _restore(method, optimizer, state)
    # Fabric moves what stands in a tuple, and leaves None.
    series, labels, lengths = fabric.to_device((series, labels, lengths))
    run = _Run(fabric, method, module, optimizer, settings, series, labels, lengths, profile)
    with torch.random.fork_rng(), method.across("world" if settings.devices > 1 else None):
        for epoch in range(state.epoch if state else 0, settings.epochs):
            row, enough = run.epoch(epoch), False
            if fabric.is_global_zero:
                if monitor is not None:
                    row |= monitor(method.encoder, method.bf16)
                if on_epoch is not None:
                    enough = on_epoch(row, partial(_state, method, optimizer, epoch + 1)) is True
            fabric.barrier()
            if fabric.broadcast(enough):
                break
    module.eval()


def _checked(method: Method, x: Any, lengths: Tensor) -> Tensor | None:
    """Lengths that method and encoder take; None where no series ends before T."""
    padding.check(lengths, x)
    if bool((lengths == x.shape[-1]).all()):
        return None
    encoder = type(method.encoder).__name__
    for name, takes in (
        (type(method).__name__, method.takes_lengths),
        (f"encoder {encoder}", padding.takes_lengths(method.encoder)),
    ):
        if not takes:
            raise ValueError(f"lengths: series of unequal length; accepted: of one with {name}")
    return lengths


def launch(settings: Settings) -> Any:
    """A Fabric with its processes running: started by torchrun, or here."""
    from lightning_fabric import Fabric

    place = device(settings.device)
    started = started_processes()
    if started not in (0, settings.devices):
        raise ValueError(
            f"devices: {settings.devices} under torchrun with {started} processes; accepted: "
            f"{started}"
        )
    local = int(os.environ["LOCAL_WORLD_SIZE"]) if started else settings.devices
    which: Any = local if place.index is None else [place.index]
    # Not Fabric's "bf16-mixed": it rounds the series themselves to bfloat16 before the views are
    # made.
    strategy = "ddp" if settings.devices > 1 else "auto"
    fabric = Fabric(
        accelerator=place.type,
        devices=which,
        num_nodes=settings.devices // local,
        strategy=strategy,
        precision="32-true",
    )
    fabric.launch()
    return fabric


@dataclass(frozen=True)
class _Run:
    """What every epoch works on; labels, and x where it is a tensor, are on the device."""

    fabric: Any
    method: Method
    module: Any
    optimizer: Any
    settings: Settings
    x: Tensor | Series
    labels: Tensor | None
    lengths: Tensor | None
    profile: StepProfile | None

    def epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the rows, and its means."""
        settings, start = self.settings, time.perf_counter()
        self.module.train()
        sums: dict[str, Tensor] = {}
        rows = order(len(self.x), settings.seed, epoch).to(self.fabric.device)
        batches = rows.split(settings.batch_size)
        steps = len(rows) // (settings.batch_size * settings.accumulate)
        for index in range(steps):
            lr = rate(epoch * steps + index, settings.epochs * steps, settings)
            for group in self.optimizer.param_groups:
                group["lr"] = lr * group.get(FACTOR, 1.0)
            self.optimizer.zero_grad()
            for part in range(settings.accumulate):
                if self.profile is not None:
                    self.profile.begin()
                number = index * settings.accumulate + part
                batch = self._batch(batches[number], fold(settings.seed, epoch, number))
                for name, value in self._step(batch, part == settings.accumulate - 1).items():
                    sums[name] = sums.get(name, 0) + value
        means = _means(self.fabric, sums, steps * settings.accumulate)
        if not math.isfinite(means["loss"]):
            raise FloatingPointError(
                f"the loss of epoch {epoch} is {means['loss']}; a smaller lr may help"
            )
        seconds = time.perf_counter() - start
        return {"epoch": epoch, "step": (epoch + 1) * steps, "lr": lr, "seconds": seconds} | means

    def _batch(self, ids: Tensor, seed: int) -> Batch:
        """This process's share of the rows `ids`."""
        # Side by side: gathered in the order of ranks, they are in the order of one process.
        ids = ids.tensor_split(self.fabric.world_size)[self.fabric.global_rank]
        torch.manual_seed(seed)  # for dropout and the like
        labels, lengths = (None if g is None else g[ids] for g in (self.labels, self.lengths))
        x = self.x[ids] if isinstance(self.x, Tensor) else self.x[ids.cpu()].to(ids.device)
        return Batch(x, ids, seed, labels, lengths=lengths)

    def _step(self, batch: Batch, last: bool) -> dict[str, Tensor]:
        """Adds the gradient of a batch, and after the last of a step moves the weights."""
        accumulate = self.settings.accumulate

        def forward() -> tuple[Tensor, dict[str, Tensor]]:
            loss, logs = self.module(batch)
            return loss, {"loss": loss.detach(), **logs}

        def backward(result: tuple[Tensor, dict[str, Tensor]]) -> None:
            self.fabric.backward(result[0] / accumulate if accumulate > 1 else result[0])

        def update() -> None:
            if last:
                self.optimizer.step()
                self.method.after_step()

        with self.fabric.no_backward_sync(self.module, enabled=not last):
            if self.profile is not None:
                logs: dict[str, Tensor] = self.profile.step(forward, backward, update)[1]
                return logs
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


def _restore(method: Method, optimizer: Any, state: State) -> None:
    try:
        method.load_state_dict(state.model)
    except RuntimeError as error:
        raise ValueError(
            f"state: not of this {type(method).__name__} ({' '.join(str(error).split())[:160]})"
        ) from error
    try:
        optimizer.load_state_dict(state.optimizer)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"state: its optimizer is not of this run ({error})") from error
