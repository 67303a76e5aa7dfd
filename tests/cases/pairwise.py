"""Sigmoid and triplet loss held to their definitions."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from checks import Draw, accept, accept_all, together, value_and_gradients
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference import pairs, sides, triplet
from tsssl_fast.ops.contrastive.reference import sigmoid as reference_sigmoid


def ids(n: int) -> Tensor:
    return torch.arange(n) % 5


def keys_of(m: int, p: int) -> dict[str, Tensor]:
    """Ids, or none where the diagonal can be meant."""
    return {} if m == p else {"q_ids": ids(m), "k_ids": ids(p)}


def rules(options: dict[str, Any]) -> pairs.Rules:
    names = ("q_ids", "k_ids", "q_valid", "k_valid")
    return sides.rules_of(*(options.get(n) for n in names), options.get("normalize", True))


def sigmoid(kernel: str, options: dict[str, Any]) -> Callable[..., Tensor]:
    def run(q: Tensor, k: Tensor, *numbers: Tensor) -> Tensor:
        given = dict(zip(("logit_scale", "logit_bias"), numbers, strict=False)) | options
        return functional.siglip_loss(q, k, **given, reduction="none", backend=kernel)

    return run


def sigmoid_definition(options: dict[str, Any]) -> Callable[..., Tensor]:
    return lambda *x: reference_sigmoid.sigmoid_pairs(*x, rules(options))


def sigmoid_draws(
    m: int, p: int, dim: int, scale: float, bias: float, dtype: torch.dtype = torch.float32
) -> Iterator[Draw]:
    for _ in range(6 + 128 // m):
        q, k = torch.randn(m, dim), torch.randn(p, dim)
        k[: min(m, p)] += q[: min(m, p)]
        leaves = [q.to(dtype), k.to(dtype), torch.tensor(scale), torch.tensor(bias)]
        yield leaves, torch.randn(m, dtype=torch.float64)


def check_sigmoid(kernel: str, draws: Iterator[Draw], **options: Any) -> None:
    """The acceptance rule; the gradients of scale and bias of all draws together."""
    functions = (sigmoid(kernel, options), sigmoid_definition(options), sigmoid_definition(options))
    results = []
    for inputs, upstream in draws:
        doubles = [x.double() for x in inputs]
        given = (inputs, doubles, inputs)
        results.append(
            [value_and_gradients(f, x, upstream) for f, x in zip(functions, given, strict=True)]
        )
    for i, name in enumerate(("value", "gradient of q", "gradient of k", "of scale", "of bias")):
        outputs = [tuple(run[i] for run in runs) for runs in results]
        accept(name, together(outputs) if i > 2 else outputs, spec.ERROR_FACTOR)


def triplet_definition(labels: Tensor, margin: float, **options: Any) -> Callable[[Tensor], Tensor]:
    given = {"q_ids": labels, "k_ids": labels} | options
    return lambda z: triplet.triplet(z, margin, rules(given))


def check_triplet(
    kernel: str, draws: Iterator[Draw], labels: Tensor, margin: float, **options: Any
) -> None:
    valid = options.get("q_valid")
    given = {"normalize": options.get("normalize", True), "valid": valid, "backend": kernel}
    accept_all(
        lambda z: functional.triplet_loss(z, labels, margin=margin, reduction="none", **given),
        triplet_definition(labels, margin, **options),
        draws,
        spec.ERROR_FACTOR,
    )


def triplet_draws(m: int, dim: int, dtype: torch.dtype = torch.float32) -> Iterator[Draw]:
    for _ in range(6 + 128 // m):
        yield [torch.randn(m, dim).to(dtype)], torch.randn(m, dtype=torch.float64)
