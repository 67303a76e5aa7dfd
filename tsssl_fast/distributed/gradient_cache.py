"""Batches larger than memory: the encoder in chunks, the loss on all, exact gradients."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks

__all__ = ["cached_backward"]

Loss = Callable[..., Tensor]


def cached_backward(
    encoder: nn.Module,
    views: Sequence[Tensor],
    loss_function: Loss,
    *,
    chunk_size: int,
    scale: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """The loss of all rows, with its backward done: as `loss_function(*map(encoder, views))` and
    `.backward()`, in the memory of the encoder's graph for one chunk (Gao et al., "Scaling deep
    contrastive learning batch size under memory limited setup", RepL4NLP 2021).

    Every chunk is encoded twice: without a graph, for the loss on all embeddings; then with one,
    from the same state of the random numbers (dropout), for the embeddings' gradients. Exact where
    a row's embedding does not depend on the other rows: BatchNorm in training mode normalises by
    chunk, and meets every chunk twice.

    Args:
        encoder: (N, ...) -> (N, D), of any floating dtype. In DistributedDataParallel, gradients
            are exchanged once, in the last chunk's backward.
        views: tensors of N_v rows, also of none, which the encoder gets as one chunk and the loss
            must take, as with process_group; their gradients, where they want one, are filled too.
        loss_function: loss_function(*embeddings) -> scalar; may have a process_group, and
            parameters of its own.
        chunk_size: rows, >= 1.
        scale: GradScaler.scale: its factor enters the gradients, not the result.

    Returns:
        The loss, detached.

    Raises:
        TypeError: chunk_size is no number. ValueError: chunk_size < 1, or no views.
    """
    checks.at_least("chunk_size", chunk_size, 1)
    if not views:
        raise ValueError("views: none; accepted: one or more")
    chunks = [(v, x) for v, view in enumerate(views) for x in view.split(chunk_size)]
    states, cached = [], []
    for _, x in chunks:
        states.append(_state(x.device))
        with torch.no_grad():
            cached.append(encoder(x))
    embeddings = []
    for v in range(len(views)):
        own = [z for (of, _), z in zip(chunks, cached, strict=True) if of == v]
        embeddings.append(torch.cat(own).requires_grad_())
    loss = loss_function(*embeddings)
    (loss if scale is None else scale(loss)).backward()
    gradients = [g for z in embeddings for g in _gradient(z).split(chunk_size)]
    after = _state(views[0].device)
    last = len(chunks) - 1
    for i, ((_, x), state, gradient) in enumerate(zip(chunks, states, gradients, strict=True)):
        _restore(state, x.device)
        with _quiet(encoder, i < last):
            z = encoder(x)
            torch.autograd.backward(z, gradient.to(z.dtype))
    _restore(after, views[0].device)
    return loss.detach()


def _gradient(z: Tensor) -> Tensor:
    return torch.zeros_like(z) if z.grad is None else z.grad


def _state(device: torch.device) -> tuple[Any, Any]:
    """Of the random numbers on the CPU and on the device."""
    on_device = torch.get_device_module(device) if device.type != "cpu" else None
    return torch.get_rng_state(), None if on_device is None else on_device.get_rng_state(device)


def _restore(state: tuple[Any, Any], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.get_device_module(device).set_rng_state(state[1], device)


def _quiet(encoder: nn.Module, wanted: bool) -> AbstractContextManager[Any]:
    """No exchange of gradients, in an encoder that exchanges them."""
    no_sync = getattr(encoder, "no_sync", None)
    return no_sync() if wanted and no_sync is not None else nullcontext()
