"""The compiled augmentation kernels round as the definition does: read from their machine code.

A fused multiply-add, an approximate division or root, or numbers flushed to zero would change bits
that the interpreter, which runs numpy, can not show.
"""

import re

import pytest

pytest.importorskip("triton")

from gpu_objects import augment as configs
from gpu_objects.compiled import compile_for
from gpu_objects.targets import TARGETS

pytestmark = pytest.mark.after_triton

# Forms that backends/test_triton_compiled.py compiles too: one compilation serves both.
FORMS = {
    f"{s.name} {target}": (s, TARGETS[target])
    for s in configs.SPECIALISATIONS
    for target in s.targets
    if "all fp32" in s.name or "fp64" in s.name
}
CUDA = [name for name, (_, target) in FORMS.items() if target.backend == "cuda"]
ROCM = [name for name, (_, target) in FORMS.items() if target.backend == "hip"]


def defects_of_ptx(ptx: str) -> list[str]:
    """Floating instructions that are not one correctly rounded operation."""
    floats = re.findall(r"\b[a-z0-9_]+(?:\.[a-z0-9]+)*\.f(?:32|64)\b", ptx)
    wrong = [f for f in floats if re.match(r"(?:fma|mad)\.|(?:div|sqrt|add|sub|mul)\.(?!rn\.)", f)]
    return sorted({*wrong, *re.findall(r"[a-z0-9.]*\.(?:approx|ftz|full)[a-z0-9.]*", ptx)})


@pytest.mark.parametrize("name", CUDA)
def test_every_operation_is_rounded_once(name: str) -> None:
    specialisation, target = FORMS[name]
    ptx = compile_for(specialisation, target).asm["ptx"]
    assert not defects_of_ptx(ptx)
    # Buffers are written and read again in one launch: no load may take the read-only path.
    assert "ld.global.nc" not in ptx
    kind = "f64" if "fp64" in name else "f32"
    if "forward" in name:
        assert f"div.rn.{kind}" in ptx
        assert f"sqrt.rn.{kind}" in ptx
    assert f"mul.rn.{kind}" in ptx


def test_the_defects_can_be_seen() -> None:
    seen = defects_of_ptx(
        "fma.rn.f32 a; div.full.f32 b; sqrt.approx.f32 c; mul.f32 d; add.rn.f64 e"
    )
    assert {"fma.rn.f32", "div.full.f32", "sqrt.approx.f32", "mul.f32"} <= set(seen)
    assert not any("add" in s for s in seen)


@pytest.mark.parametrize("name", ROCM)
def test_no_fast_arithmetic_on_rocm(name: str) -> None:
    specialisation, target = FORMS[name]
    kernel = compile_for(specialisation, target)
    code = re.sub(r", !dbg.*", "", kernel.asm["llir"])
    assert not re.search(
        r"\b(?:f\w+ (?:contract|fast|afn|arcp|reassoc)|llvm\.fma|llvm\.fmuladd)", code
    )
    assert "float_denorm_mode_32 3" in kernel.asm["amdgcn"]
    # A barrier between two operations orders global memory too, not the shared memory alone.
    whole = re.findall(
        r'fence syncscope\("workgroup"\) release(?:, !dbg !\d+)?$', kernel.asm["llir"], re.M
    )
    assert whole
    assert "tg_split 0" in kernel.asm["amdgcn"]
