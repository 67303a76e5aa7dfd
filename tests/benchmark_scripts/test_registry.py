"""The benchmarks run, judge correctness before speed, and tell what they skip."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmark_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_a_run_writes_rows_and_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    import report
    import run

    out, html, threads = tmp_path / "run.json", tmp_path / "run.html", torch.get_num_threads()
    words = ["run.py", "contrastive", "--cases", "nt_xent 32x128", "--rounds", "2"]
    words += ["--providers", "cpp,eager,lightly", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", [*words, "--json", str(out), "--html", str(html)])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which a run sets
    try:
        assert run.main() == 0, capsys.readouterr().out
    finally:
        torch.set_num_threads(threads)
    record = json.loads(out.read_text())
    rows = {row["provider"]: row for row in record["rows"]}
    assert rows["cpp"]["error"] <= rows["cpp"]["allowed"]
    assert rows["eager"]["ratio"] == 1
    assert rows["cpp"]["memory"] >= 0
    assert rows["cpp"]["family"] == "contrastive"
    assert rows["lightly"].get("skipped") == "lightly: not installed" or rows["lightly"]["median"]
    assert set(record["ceilings"]) == {
        *("float32 product, GFLOP/s", "bfloat16 product, GFLOP/s", "copy, GB/s"),
    }
    assert "| nt_xent 32x128 |" in report.table(record)
    page = html.read_text()
    assert "data:image/png;base64," in page
    assert "nt_xent 32x128" in page
    assert "http" not in page


def test_a_wrong_kernel_gets_no_time() -> None:
    import registry
    import run
    from measure import measure

    case = registry.case("nt_xent 32x128")

    def wrong(inputs: object) -> object:
        right = case.providers["cpp"](inputs)
        return lambda: tuple(x * 1.0001 for x in right())

    broken = dataclasses.replace(case, providers={**case.providers, "cpp": wrong})
    (row,) = measure(broken, ["cpp"], rounds=2, memory=False)
    assert row["failed"] == ["WRONG"]
    assert "median" not in row
    assert "WRONG" in run.show(row)


def test_an_error_is_the_mean_of_several_draws_where_one_is_over_its_bound() -> None:
    import registry
    from measure import measure

    case = registry.case("nt_xent 32x128")
    first = case.inputs()[0]

    def unlucky(inputs: tuple[torch.Tensor, ...]) -> object:
        right = case.providers["cpp"](inputs)
        factor = 1 + 4e-5 * torch.equal(inputs[0], first)
        return lambda: tuple(x * factor for x in right())

    once = dataclasses.replace(case, providers={**case.providers, "cpp": unlucky})
    (row,) = measure(once, ["cpp"], rounds=2, memory=False, bars=False)
    assert row["failed"] == []
    assert 4e-5 / 8 < row["error"] <= row["allowed"]
    alone = dataclasses.replace(once, draw=None)
    (row,) = measure(alone, ["cpp"], rounds=2, memory=False, bars=False)
    assert row["failed"] == ["WRONG"]
    assert row["error"] > 3e-5


def test_a_nan_that_the_truth_has_not_is_an_infinite_error() -> None:
    from measure import error

    truth = (torch.tensor([1.0, torch.nan]).double(),)
    assert error((torch.tensor([1.5, torch.nan]),), truth) == 0.5
    assert error((torch.tensor([1.0, 2.0]),), truth) == float("inf")
    assert error((torch.tensor([torch.nan, torch.nan]),), truth) == float("inf")


def test_every_family_has_cases_of_every_kind() -> None:
    from registry import FAMILIES, cases

    every = cases()
    names = [case.name for case in every]
    assert len(set(names)) == len(names)
    for case in every:
        assert {case.ours, case.baseline, case.rounding or case.baseline} <= set(case.providers)
    for family in FAMILIES:
        quick = cases(family=family, quick=True)
        assert quick
        assert {case.family for case in quick} == {family}
    assert {case.precision for case in every} == {"highest", "medium", "bf16"}
    providers = {name for case in every for name in case.providers}
    assert providers >= {"cpp", "numba", "reference", "eager", "compiled", "numpy", "library"}


@pytest.mark.parametrize(
    "name",
    [
        *("views p=0.5 1x3x64", "TimeWarp 256x9x128", "mask_fill point 256x9x128"),
        *(
            "masked_step 256x9x128",
            "masked_loss 256x9x128",
            "fill_missing linear 256x9x512",
            "standardize 256x9x512",
        ),
        *("minmax 256x9x512", "moving_average 256x9x512", "clip_outliers iqr 256x9x512"),
        *("nt_xent 8x16", "vicreg 16x16", "hierarchical 4x64x32", "nt_xent 32x128 bf16"),
    ],
)
def test_kernels_and_plain_forms_compute_the_same(name: str) -> None:
    """measure raises where the judge is off; what can be judged is within its bound."""
    import registry
    from measure import measure
    from suite.common import at

    case = registry.case(name.removesuffix(" bf16"))
    case = at(case, "bf16") if name.endswith("bf16") else case
    chosen = [case.ours, case.baseline]
    rows = {row["provider"]: row for row in measure(case, chosen, rounds=1, bars=False)}
    assert rows[case.ours]["error"] <= rows[case.ours]["allowed"]
    assert rows[case.baseline]["median"] > 0
    judged = case.judged is None or case.baseline in case.judged
    assert ("error" in rows[case.baseline]) == judged


def test_a_step_of_training_is_held_to_float64() -> None:
    import registry
    from measure import measure

    (case,) = registry.cases("simclr step", "training")
    small = dataclasses.replace(case, inputs=lambda: (torch.randn(8, 9, 64),))
    (row,) = measure(small, ["cpp"], rounds=1, bars=False)
    assert row["error"] <= row["allowed"]


def test_a_case_without_memory_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    import measure
    import registry
    import run

    monkeypatch.setattr(measure, "available", lambda: 1e9)
    case = registry.case("nt_xent 4096x128")
    rows = measure.measure(case, ["cpp", "eager"], rounds=1)
    assert [row["skipped"] for row in rows] == ["needs about 2.1 GB of memory, 1.0 are free"] * 2
    assert "skipped: needs about 2.1 GB" in run.show(rows[0])


def test_memory_is_what_a_run_takes() -> None:
    from memory import available, peak_extra_bytes

    assert available() > 1e6
    most = peak_extra_bytes(lambda: torch.full((1 << 23,), 1.0))
    if most is None:
        pytest.skip("no /proc/self/clear_refs")
    assert 0.9 * (1 << 25) < most < 1.5 * (1 << 25)


def test_products_of_bfloat16_without_a_unit_are_skipped_with_the_reason() -> None:
    import registry
    import run
    from measure import measure

    case = registry.case("vicreg 1024x2048 bf16")
    assert run.too_slow(case, {run.BFLOAT16: 100.0}) == ""
    why = run.too_slow(case, {run.BFLOAT16: 0.5})
    assert why == "a call would take about 103 s: no unit for bfloat16 products here"
    small = dataclasses.replace(case, inputs=lambda: tuple(torch.randn(2, 8, 16).bfloat16()))
    rows = {row["provider"]: row for row in measure(small, ["cpp", "eager"], 1, others_out=why)}
    assert rows["eager"]["skipped"] == why
    assert rows["cpp"]["median"] > 0


def test_lines_of_the_plots_run_along_every_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    import pictures
    import scaling
    from suite import nt_xent

    assert {line.axis for line in scaling.lines(quick=True)} == set(scaling.AXES)
    threads = torch.get_num_threads()
    few = [
        scaling.Line("contrastive", "N", "a", (4, 8), lambda n: nt_xent.make(n, 8)),
        scaling.Line("augment", "N", "b", (4,), lambda n: nt_xent.make(n, 8)),
        scaling.Line("contrastive", "threads", "c", (1, 2), lambda _: nt_xent.make(4, 8)),
    ]
    monkeypatch.setattr(scaling, "lines", lambda quick: few)
    rows = list(scaling.scale("contrastive", True, 1))
    assert [(r["axis"], r["place"], r["provider"]) for r in rows] == [
        (axis, place, provider)
        for axis, places in (("N", (4, 8)), ("threads", (1, 2)))
        for place in places
        for provider in ("cpp", "eager")
    ]
    assert torch.get_num_threads() == threads
    panels = pictures.scaling(rows).axes
    assert [panel.get_title() for panel in panels[:2]] == ["a", "c"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--providers", "tpu"], "providers: chunked, compat, compiled, copy, cpp, eager"),
        (["speech"], "accepted: all, contrastive, decorrelation, augment, masking, preprocess,"),
        (["--rounds", "0"], "--rounds: 0; accepted: 1 and above"),
    ],
)
def test_what_does_not_exist_is_refused(
    options: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    import run

    monkeypatch.setattr(sys, "argv", ["run.py", *options])
    with pytest.raises(SystemExit) as raised:
        run.parsed()
    assert raised.value.code == 2
    assert said in capsys.readouterr().err


def test_the_sweep_judges_before_it_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sweep

    assert sweep.points("32x8,2x8") == [(2, 8), (32, 8)]
    monkeypatch.setattr(sweep, "POINT_SECONDS", 0.0)  # one pass
    monkeypatch.setattr(sweep, "FULL_TRUTH_ROWS", 16)
    for n in (8, 40):  # judged by float64, and by rows of it and eager gradients
        point = sweep.measure(n, 8, None)
        assert point["ratio"] > 0
        assert "WRONG" not in sweep.line(f"{n}x8", point)
        with monkeypatch.context() as patch:
            right = sweep.ours
            patch.setattr(sweep, "ours", lambda a, b, f=right: f(a, b) * 1.001)
            point = sweep.measure(n, 8, None)
        assert "ratio" not in point
        assert "WRONG" in sweep.line(f"{n}x8", point)

    def wrong(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        coarse = a.dtype == torch.bfloat16 or torch.get_float32_matmul_precision() == "medium"
        return right(a, b) * (1.1 if coarse else 1)

    for setting in ("medium", "bf16"):  # judged by float32
        assert sweep.measure(40, 8, None, setting)["ratio"] > 0
        with monkeypatch.context() as patch:
            patch.setattr(sweep, "ours", wrong)
            assert "WRONG" in sweep.line(f"40x8 {setting}", sweep.measure(40, 8, None, setting))


def test_rows_kept_of_the_same_machine_stay(tmp_path: Path) -> None:
    import run

    def record(version: str, **seconds: float) -> dict[str, Any]:
        rows = [{"case": c, "provider": "cpp", "median": value} for c, value in seconds.items()]
        return {"machine": {"tsssl_fast": version}, "rows": rows}

    path = tmp_path / "kind.json"
    assert run.beside_kept(record("1", a=1.0), path) == record("1", a=1.0)
    path.write_text(json.dumps(record("1", a=1.0, b=2.0) | {"scaling": []}))
    found = run.beside_kept(record("1", b=3.0), path)
    assert found == record("1", b=3.0, a=1.0) | {"scaling": []}
    assert run.beside_kept(record("2", b=3.0), path) == record("2", b=3.0)


EXPERIMENTS = sorted((BENCHMARKS / "experiments").glob("*.py"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_finds_what_it_imports(path: Path, tmp_path: Path) -> None:
    """As a script of its own: with its folder alone in the path."""
    code = f"import runpy, sys; sys.path[0] = {str(path.parent)!r}; runpy.run_path({str(path)!r})"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if "No module named 'pytorch_lightning'" in found.stderr:
        pytest.skip("pytorch_lightning is not installed")
    assert found.returncode == 0, found.stderr


def test_lines_alone_stand_beside_rows_of_the_same_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    import run
    import scaling

    def short(quick: bool) -> list[scaling.Line]:
        line = scaling.Line("contrastive", "N", "NT-Xent", (8,), lambda n: nt_xent.make(n, 16))
        return [line]

    from suite import nt_xent

    monkeypatch.setattr(scaling, "lines", short)
    monkeypatch.setattr(run, "DATA", tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    path = tmp_path / run.file_of(run.machine())
    words = ["run.py", "--scaling", "--save", "--rounds", "1", "--threads", str(threads)]
    monkeypatch.setattr(sys, "argv", words)
    kept = {"machine": run.machine(), "rows": [{"case": "a", "provider": "cpp"}]}
    path.write_text(json.dumps(kept))
    assert run.main() == 0, capsys.readouterr().out
    found = json.loads(path.read_text())
    assert found["rows"] == kept["rows"]
    assert {row["provider"] for row in found["scaling"]} == {"cpp", "eager"}
    path.write_text(json.dumps({**kept, "machine": {**kept["machine"], "tsssl_fast": "0.0.1"}}))
    with pytest.raises(SystemExit, match=r"is of tsssl_fast 0\.0\.1; accepted: after --save"):
        run.main()
    monkeypatch.setattr(sys, "argv", [*words, "--cases", "nt_xent"])
    with pytest.raises(SystemExit):
        run.main()
    assert "--scaling: with --cases" in capsys.readouterr().err
