"""What the operators launch is what is compiled ahead of time: every launch finds its form in
SPECIALISATIONS, for every architecture. Launches are recorded, not run."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gpu_objects.specialisation import Specialisation
from gpu_objects.targets import TARGETS
from torch import Tensor

from tsssl_fast.ops.contrastive.reference.pairs import PLAIN

triton = pytest.importorskip("triton")

pytestmark = pytest.mark.after_triton

TYPES = {
    **{torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"},
    **{torch.int64: "*i64", torch.uint8: "*u8"},
}
M, P = 48, 32


@pytest.fixture(params=TARGETS)
def launches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    from tsssl_fast.ops.contrastive.triton import sweeps, views

    found: list[tuple[Any, dict[str, Any], dict[str, Any]]] = []

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **given: Any) -> None:
        values = dict(zip(self.arg_names, args, strict=False))
        values |= {n: v for n, v in given.items() if n in self.arg_names}
        assert set(values) == set(self.arg_names)
        options = {n: v for n, v in given.items() if n not in self.arg_names}
        found.append((self, values, options))

    monkeypatch.setattr(triton.runtime.jit.JITFunction, "run", run)
    for module in (views, sweeps):
        monkeypatch.setattr(module, "family", lambda x: request.param)
        monkeypatch.setattr(module, "dot_precision", lambda x: "ieee")
    return request.param, found


def fits(form: Specialisation, values: dict[str, Any], options: dict[str, Any]) -> bool:
    given = {"num_warps": form.num_warps, "num_stages": form.num_stages}
    if options != {**given, "enable_fp_fusion": form.fp_fusion}:
        return False
    for name, value in values.items():
        if name in form.constants:
            if value is not form.constants[name] and value != form.constants[name]:
                return False
        elif value is None or (
            isinstance(value, Tensor) and form.arguments[name] != TYPES.get(value.dtype, "*fp32")
        ):
            return False
    return True


def check(launches: Any, count: int) -> None:
    from gpu_objects.contrastive import SPECIALISATIONS

    target, found = launches
    assert len(found) >= count
    for kernel, values, options in found:
        forms = [s for s in SPECIALISATIONS if s.kernel is kernel and target in s.targets]
        short = {n: "tensor" if isinstance(v, Tensor) else v for n, v in values.items()}
        assert any(fits(s, values, options) for s in forms), (kernel.__name__, short, options)


VIEWS = {
    "bf16 by columns": [(torch.bfloat16, dim, 0.1) for dim in (40, 128, 200, 300)],
    "low temperature": [(torch.bfloat16, 128, 0.01), (torch.float32, 100, 0.01)],
    "fp32 and fp16": [(d, n, 0.1) for d in (torch.float32, torch.float16) for n in (128, 300)],
}


@pytest.mark.parametrize("name", VIEWS)
def test_nt_xent(launches: Any, name: str) -> None:
    from tsssl_fast.ops.contrastive.triton import nt_xent

    for dtype, dim, temperature in VIEWS[name]:
        z = torch.zeros(M, dim, dtype=dtype)
        _, saved, none, _ = nt_xent.nt_xent(z, z, temperature, "none", False)
        nt_xent.nt_xent_backward(torch.zeros(2 * M), z, z, saved, none, temperature, "none")
    check(launches, 6 * len(VIEWS[name]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_nt_xent_computed_in_the_forward(
    launches: Any, dtype: torch.dtype, temperature: float
) -> None:
    from tsssl_fast.ops.contrastive.triton import nt_xent

    z = torch.zeros(M, 768, dtype=dtype)
    *_, gradients = nt_xent.nt_xent(z, z, temperature, "mean", True)
    check(launches, 5)
    assert gradients.shape == (2, M, 768)


def arrays(name: str) -> Any:
    q, k = torch.zeros(M, dtype=torch.int64), torch.zeros(P, dtype=torch.int64)
    flags, matrix = torch.ones(P, dtype=torch.bool), torch.ones(M, P)
    return {
        "ids": PLAIN._replace(q_id=q, k_id=q),
        "queue": PLAIN,
        "everything": PLAIN._replace(
            **{"q_id": q, "k_id": k, "q_group": q, "k_group": k, "group_rule": 1},
            **{"q_valid": torch.ones(M, dtype=torch.bool), "k_valid": flags},
            **{"mask": matrix.bool(), "weight": matrix, "symmetric": True},
        ),
    }[name]


CASES: dict[str, tuple[torch.dtype, int]] = {
    "bf16": (torch.bfloat16, 128),
    "fp32": (torch.float32, 128),
}


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("name", ["ids", "queue", "everything"])
def test_pairs(launches: Any, name: str, kind: str) -> None:
    from tsssl_fast.ops.contrastive.triton import pairs

    dtype, dim = CASES[kind]
    q, k = torch.zeros(M, dim, dtype=dtype), torch.zeros(P, dim, dtype=dtype)
    rules, beta = arrays(name), torch.ones(())
    keys = None if name == "ids" else k
    run: Callable[..., Any] = pairs.pair_logsumexp
    out, sums, scale, _ = run(q, keys, beta, rules, name == "everything")
    # The queue's keys get no gradient.
    pairs.pair_logsumexp_backward(torch.zeros_like(out), q, keys, beta, rules, sums, scale, False)
    check(launches, 6)
