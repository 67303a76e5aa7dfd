"""Which backend runs, why not another, and what the environment may say."""

import logging
import os
from pathlib import Path

import pytest
import torch
from checks import run_python
from torch import Tensor
from variants import ISAS, PAIRS

import tsssl_fast
from tsssl_fast import functional, losses
from tsssl_fast.backends import cpp as _native
from tsssl_fast.backends import dispatch

CPU = torch.zeros(3, 2)
META = torch.zeros(3, 2, device="meta")


def test_explain_tells_every_backend_and_its_reasons() -> None:
    explanation = tsssl_fast.explain("nt_xent", CPU, CPU)
    assert explanation.chosen == "cpp"
    reasons = dict(explanation.reasons)
    (why,) = reasons.pop("triton")
    assert why.startswith("device=cpu (supported: cuda; cpu only in Triton's interpreter")
    assert reasons == {"cpp": [], "numba": [], "reference": []}
    assert str(explanation).splitlines() == [
        "nt_xent: cpp",
        "  cpp        can run",
        "  numba      can run",
        f"  triton     {why}",
        "  reference  can run",
    ]


def test_explain_of_a_call() -> None:
    """What it runs, whatever was chosen before; what no kernel takes is said every time."""
    z, labels = torch.randn(6, 4), torch.arange(6) % 2
    for _ in range(2):
        plain = tsssl_fast.explain(functional.sup_con_loss, z, labels)
        assert [(x.op, x.chosen) for x in plain.operators] == [("pair_logsumexp", "cpp")]
        assert plain.without_kernel == ()
        options = {"q_ids": labels, "k_ids": labels, "denominator": "own_positive"}
        blocks = tsssl_fast.explain(functional.contrastive_loss, z, z, **options)
        assert blocks.operators == ()
        assert str(blocks) == (
            "contrastive_loss: row blocks of torch (backend any): "
            "no kernel takes denominator='own_positive'"
        )
    forced = tsssl_fast.explain(functional.vicreg_loss, z, z, z, backend="numba")
    assert [(x.op, x.chosen, x.requested) for x in forced.operators] == [
        ("vicreg_views", "numba", "numba")
    ]
    with pytest.raises(ValueError, match="reduction"):
        tsssl_fast.explain(functional.nt_xent_loss, z, z, reduction="median")


def test_explain_leaves_a_module_as_it_is() -> None:
    module = losses.MoCoLoss(4, 8)
    explanation = tsssl_fast.explain(module, torch.randn(6, 4), torch.randn(6, 4))
    assert [x.op for x in explanation.operators] == ["key_logsumexp"]
    module.flush()
    assert module.queue.filled == 0


def test_device_reason() -> None:
    explanation = tsssl_fast.explain("nt_xent", META, META)
    assert explanation.chosen == "reference"
    assert explanation.reasons["cpp"] == ["device=meta (supported: cpu)"]


def test_dtype_reason() -> None:
    x = CPU.to(torch.float8_e5m2)
    assert tsssl_fast.explain("nt_xent", x).reasons["cpp"] == [
        "dtype=torch.float8_e5m2 (supported: torch.float32, torch.float64, torch.float16, "
        "torch.bfloat16)"
    ]


def test_missing_extension_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "C", None)
    monkeypatch.setattr(_native, "ERROR", ImportError("no such file"))
    assert tsssl_fast.explain("nt_xent", CPU).reasons["cpp"] == [
        "the extension tsssl_fast._C did not load (ImportError: no such file)"
    ]


def test_operator_that_a_backend_lacks_is_a_reason() -> None:
    backend = dispatch.Backend("numba", {}, lambda op, tensors: [], frozenset({"cpu"}))
    assert backend.reasons("nt_xent", (CPU,)) == ["nt_xent is not implemented in this backend"]


def test_explain_of_a_forced_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSSSL_BACKEND", "cpp")
    explanation = tsssl_fast.explain("nt_xent", META)
    assert explanation.chosen is None
    assert str(explanation).startswith(
        "nt_xent: no backend can run this (backend 'cpp' was asked for)"
    )


def test_unknown_operator() -> None:
    with pytest.raises(ValueError, match=r"op='nt_xant': no such operator; accepted: .*nt_xent"):
        tsssl_fast.explain("nt_xant", CPU)


FORCE = {
    "argument": lambda name: functional.nt_xent_loss(META, META, backend=name),
    "operator": lambda name: torch.ops.tsssl_fast.nt_xent(CPU, CPU, 0.1, "mean", False, "", name),
    "context": lambda name: tsssl_fast.use_backend(name).__enter__(),
}


@pytest.mark.parametrize("way", FORCE)
def test_unknown_backend(way: str) -> None:
    with pytest.raises(ValueError, match="backend='cuda': no such backend; accepted: reference"):
        FORCE[way]("cuda")


def test_unknown_backend_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSSSL_BACKEND", "cuda")
    with pytest.raises(ValueError, match="TSSSL_BACKEND='cuda': no such backend"):
        functional.nt_xent_loss(CPU, CPU)


def chosen(*tensors: Tensor, backend: str = "") -> str:
    kernel = dispatch.select("nt_xent", tensors, backend)
    families = dispatch.families()["contrastive"]
    return next(b.name for b in families if b.kernels["nt_xent"] is kernel)


def test_argument_beats_context_beats_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(CPU) == "cpp"
    monkeypatch.setenv("TSSSL_BACKEND", "reference")
    assert chosen(CPU) == "reference"
    with tsssl_fast.use_backend("cpp"):
        assert chosen(CPU) == "cpp"
        with tsssl_fast.use_backend("reference"):
            assert chosen(CPU) == "reference"
            assert chosen(CPU, backend="cpp") == "cpp"
        assert chosen(CPU) == "cpp"
        with pytest.raises(KeyError), tsssl_fast.use_backend("reference"):
            raise KeyError
        assert chosen(CPU) == "cpp"
    assert chosen(CPU) == "reference"


def test_forced_backend_raises_and_never_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = "nt_xent: backend 'cpp' was asked for and can not run: device=meta"
    with pytest.raises(tsssl_fast.BackendUnavailableError, match=expected):
        dispatch.select("nt_xent", (META,), "cpp")
    with (
        tsssl_fast.use_backend("cpp"),
        pytest.raises(tsssl_fast.BackendUnavailableError, match=expected),
    ):
        dispatch.select("nt_xent", (META,))
    monkeypatch.setenv("TSSSL_BACKEND", "cpp")
    with pytest.raises(tsssl_fast.BackendUnavailableError, match=expected):
        dispatch.select("nt_xent", (META,))


def test_forced_backend_that_the_family_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    only = tuple(b for b in dispatch.families()["contrastive"] if b.name == "reference")
    monkeypatch.setitem(dispatch._families, "contrastive", only)
    with pytest.raises(
        tsssl_fast.BackendUnavailableError, match="this family has no backend 'triton'"
    ):
        functional.nt_xent_loss(CPU, CPU, backend="triton")


def test_automatic_fallback_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_native, "C", None)
    monkeypatch.setattr(_native, "ERROR", ImportError("not built"))
    monkeypatch.setattr(dispatch, "_found", {})
    monkeypatch.setattr(dispatch, "_told", set())
    with caplog.at_level(logging.WARNING, logger="tsssl_fast"):
        functional.nt_xent_loss(CPU, CPU)
        functional.nt_xent_loss(CPU, CPU)
    told = [r.getMessage() for r in caplog.records if "compiled by numba" not in r.getMessage()]
    assert told == [
        "nt_xent: not on backend cpp: the extension tsssl_fast._C did not load "
        "(ImportError: not built)"
    ]


def test_a_device_that_a_backend_is_not_for_is_passed_over_silently(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, logger="tsssl_fast"):
        assert chosen(META) == "reference"
    assert not caplog.records


def test_instruction_set_chosen_is_the_one_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    native = _native.module()
    for isa, supported in ISAS.items():
        if supported:
            result = run_python(
                "from tsssl_fast.backends import cpp; print(cpp.C.isa())",
                {**os.environ, "TSSSL_CPU_ISA": isa},
            )
            assert result.stdout.strip() == isa, result.stderr
    amd = "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    never = {"amx-emulated"} if amd else {"amx-emulated", PAIRS}
    best = [isa for isa, supported in ISAS.items() if supported and isa not in never][-1]
    monkeypatch.delenv("TSSSL_CPU_ISA", raising=False)
    native.set_isa("baseline")
    assert native.isa() == "baseline"
    native.set_isa("")
    assert native.isa() == best


@pytest.mark.parametrize("name", ["avx9", "AVX2 "])
def test_unknown_instruction_set(name: str) -> None:
    result = run_python("import tsssl_fast.ops", {**os.environ, "TSSSL_CPU_ISA": name})
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ValueError: TSSSL_CPU_ISA='{name}' can not be used")
    assert "baseline" in last
    with pytest.raises(ValueError, match=f"'{name}' can not be used"):
        _native.module().set_isa(name)


def test_unsupported_instruction_set_is_refused() -> None:
    unsupported = [isa for isa, supported in ISAS.items() if not supported]
    if not unsupported:
        pytest.skip("this processor supports every instruction set that is compiled in")
    result = run_python("import tsssl_fast.ops", {**os.environ, "TSSSL_CPU_ISA": unsupported[0]})
    assert "can not be used" in result.stderr
