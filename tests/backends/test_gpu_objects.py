"""The machinery that reads compiled kernels finds what it must find, on kernels made for it."""

import dataclasses
from typing import Any

import pytest
import torch
from gpu_objects.compiled import facts
from gpu_objects.recording import form, launches, merged
from gpu_objects.specialisation import Specialisation
from gpu_objects.table import row
from gpu_objects.targets import TARGETS

from tsssl_fast.backends import dispatch
from tsssl_fast.backends.precision import BF16, BF16X3, IEEE
from tsssl_fast.backends.triton.availability import dot_precision, with_precision

triton = pytest.importorskip("triton")
tl = pytest.importorskip("triton.language")


# Pointers, the parameters of a kernel, have no Python type.
@triton.jit
def product(a, b, out, PRECISION: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.arange(0, 64)
    at = i[:, None] * 64 + i[None, :]
    s = tl.dot(tl.load(a + at), tl.load(b + at), input_precision=PRECISION)
    tl.store(out + at, s)


@triton.jit  # see above
def crowded(a, out, n, SIZE: tl.constexpr):  # type: ignore[no-untyped-def]
    x = tl.load(a + tl.arange(0, SIZE))
    for j in range(n):
        x = tl.cumsum(x) + j
    tl.store(out + tl.arange(0, SIZE), x)


def specialisation(
    kernel: Any, kind: str, constants: dict[str, Any], **rest: Any
) -> Specialisation:
    pointers = {n: f"*{kind}" for n in kernel.arg_names if n in ("a", "b", "out")}
    integers = {n: "i32" for n in kernel.arg_names if n == "n"}
    return Specialisation(
        *(kernel, kind, pointers | integers, constants, 4, 1, tuple(TARGETS)), **rest
    )


@pytest.mark.parametrize("target", TARGETS)
def test_tensor_cores_are_found(target: str) -> None:
    found = facts(specialisation(product, "bf16", {"PRECISION": "ieee"}), TARGETS[target])
    assert list(found.tensor_core) == [TARGETS[target].tensor_core]
    assert found.has_dot
    assert max(found.loads) == 16
    assert 0 < found.occupancy <= 1
    assert found.registers > 16
    assert not found.defects()


def test_a_product_without_tensor_cores_is_a_defect() -> None:
    precise = specialisation(product, "fp32", {"PRECISION": "ieee"})
    found = facts(precise, TARGETS["sm_90"])
    assert "tl.dot without tensor-core instructions (HGMMA)" in found.defects()
    assert "DEFECT: tl.dot without" in row(found)
    said = specialisation(product, "fp32", {"PRECISION": "ieee"}, dots=False)
    assert not any("tl.dot" in d for d in facts(said, TARGETS["sm_90"]).defects())


@pytest.mark.parametrize("target", TARGETS)
def test_spills_are_a_defect(target: str) -> None:
    options = {"maxnreg": 24} if target != "gfx942" else {}
    size = 2048 if target != "gfx942" else 65536
    found = facts(specialisation(crowded, "fp32", {"SIZE": size}, options=options), TARGETS[target])
    assert found.spills > 0
    assert any("bytes of spills" in defect for defect in found.defects())


def test_narrow_loads_are_a_defect() -> None:
    unaligned = specialisation(
        product, "bf16", {"PRECISION": "ieee"}, unaligned=frozenset({"a", "b"})
    )
    found = facts(unaligned, TARGETS["sm_80"])
    assert max(found.loads) == 2
    assert found.defects() == ["no load of 128 bits"]
    assert not dataclasses.replace(found, wide=False).defects()


def test_the_older_tensor_core_instruction_is_a_defect() -> None:
    found = facts(specialisation(product, "bf16", {"PRECISION": "ieee"}), TARGETS["sm_90"])
    older = dataclasses.replace(found, tensor_core={"HMMA": 1})
    assert older.defects() == ["tl.dot without tensor-core instructions (HGMMA)"]


def test_arguments_must_be_the_kernels() -> None:
    with pytest.raises(ValueError, match=r"product bf16: arguments \['PRECISION'\] do not match"):
        specialisation(product, "bf16", {}).source()


@pytest.mark.parametrize(("choice", "given"), [(IEEE, "ieee"), (BF16X3, "tf32x3"), (BF16, "tf32")])
def test_dot_precision_is_what_the_kernel_is_allowed(choice: int, given: str) -> None:
    asked = dispatch.Backend("triton", {"op": dot_precision}, lambda op, x: [], frozenset())
    assert with_precision(asked).kernels["op"](torch.ones(1), choice) == given
    assert dot_precision(torch.ones(1)) == "ieee"


def test_launches_are_recorded_not_run() -> None:
    with launches("sm_90", "ieee", ()) as found:
        for size in (32, 33, 1):
            options = {"num_warps": 4, "num_stages": 1, "enable_fp_fusion": False}
            crowded[(1,)](torch.zeros(4), torch.zeros(4), size, SIZE=64, **options)
    plain, odd, one = (form(launch, "toy", "sm_90") for launch in found)
    assert plain.arguments == {"a": "*fp32", "out": "*fp32", "n": "i32"}
    assert plain.constants == {"SIZE": 64}
    assert (plain.num_warps, plain.fp_fusion, plain.options) == (4, False, {})
    assert (plain.multiples, odd.multiples) == ({"n"}, frozenset())
    assert one.constants == {"SIZE": 64, "n": 1}
    again = form(found[0], "of AMD", "gfx942")
    forms = merged([plain, odd, again])
    assert [(f.label, f.targets) for f in forms] == [
        ("toy", ("sm_90", "gfx942")),
        ("toy, 2", ("sm_90",)),
    ]
