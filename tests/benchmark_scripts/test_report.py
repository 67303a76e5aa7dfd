"""Tables and pictures of kept runs: the best of what a user could write, and rows that are lost."""

import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmark_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def record(processor: str, **seconds: float) -> dict[str, object]:
    """Of one headline case and of one that is not; the second's eager takes half of ours."""
    rows = [
        {"case": case, "family": "contrastive", "provider": name, "median": value}
        for case in ("nt_xent 256x128", "other 2x2")
        for name, value in seconds.items()
    ]
    rows += [{"case": "other 2x2", "family": "contrastive", "provider": "lean", "median": 0.5}]
    facts = {"processor": processor, "instruction set": "avx2", "threads": "2"}
    return {"machine": facts, "rows": rows}


def kept() -> dict[str, dict[str, object]]:
    return {
        "first": record("First", cpp=1.0, eager=3.0, compiled=2.0, numpy=9.0, reference=0.1),
        "second": record("Second", cpp=1.0, eager=4.0),
    }


def test_tables_name_the_best_plain_torch_and_what_is_lost() -> None:
    import report

    lines = report.table(kept()["first"], report.HEADLINE).splitlines()
    assert lines[2].startswith(
        "| nt_xent 256x128 | 1e+03 | 2e+03 (compiled) | 2.0 | 9e+03 (numpy) | 9.0 |"
    )
    assert lines[3].startswith("| other 2x2 | 1e+03 | 500 (lean) | 0.5 |")
    assert len(lines) == 4


def test_processors_stand_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import report

    bars = [{"name": "nt_xent bf16 inputs 256x128", "ratio": 1.5}, {"name": "queue", "ratio": 1}]
    (tmp_path / "bars-third.json").write_text(json.dumps({"bars": bars}))
    monkeypatch.setattr(report, "DATA", tmp_path)
    found = kept()
    assert report.side_by_side(found) == {
        "nt_xent 256x128": {"first": 2.0, "second": 4.0},
        "other 2x2": {"first": 0.5, "second": 0.5},
        "nt_xent 256x128 bf16": {"third": 1.5},
    }
    report.write_side_by_side(found, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "| case | first | second | third |" in text
    assert "| other 2x2 | **0.50** | **0.50** | - |" in text
    assert (tmp_path / "processors.png").stat().st_size > 5000


def test_the_table_replaces_what_stands_between_the_marks(tmp_path: Path) -> None:
    import report

    path = tmp_path / "README.md"
    path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    for _ in range(2):
        report.write_readme(path, kept())
    text = path.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("| nt_xent 256x128 |") == 2
    path.write_text("nothing")
    with pytest.raises(SystemExit, match="without the lines"):
        report.write_readme(path, kept())


def test_kept_runs_can_be_read() -> None:
    import report
    import run

    found = report.records()
    for name, content in found.items():
        assert run.file_of(content["machine"]) == f"{name}.json"
        assert report.by_case(content)
    facts = {"processor": "Intel(R) Xeon(R) Processor", "instruction set": "amx", "cores": "2"}
    assert run.file_of(facts) == "intel-xeon-amx-2-cores.json"


def test_pictures_and_page_hold_every_family_of_a_run(tmp_path: Path) -> None:
    import report

    report.write_pictures(kept(), tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"ratios-contrastive.png", "processors.png"}
    page = report.page(kept()["first"])
    assert page.count("data:image/png;base64,") >= 1
    assert "http" not in page


def test_scaling_is_drawn_of_every_kind_that_has_it(tmp_path: Path) -> None:
    import report

    line = {"line": "NT-Xent", "axis": "N", "provider": "cpp"}
    found = kept()
    found["first"]["scaling"] = [line | {"place": n, "median": n / 1e6} for n in (8, 32)]
    report.write_side_by_side(found, tmp_path)
    assert (tmp_path / "scaling-first.png").stat().st_size > 5000
    text = (tmp_path / "README.md").read_text()
    assert "![time along N, D, T and threads, first](scaling-first.png)" in text
    assert "second](" not in text


def test_tables_are_of_the_newest_release_and_of_kinds_with_headline_cases() -> None:
    import report

    found = kept()
    for content, version in zip(found.values(), ("0.2.0", "0.1.0"), strict=True):
        content["machine"] = {**content["machine"], "tsssl_fast": version}
    assert "**First, avx2, 2 threads**" in report.tables(found)
    assert "Second" not in report.tables(found)
    found["second"]["machine"]["tsssl_fast"] = "0.2.0"
    assert report.tables(found).count("| case | tsssl_fast |") == 2
    found["second"]["rows"] = [r for r in found["second"]["rows"] if r["case"] == "other 2x2"]
    assert "Second" not in report.tables(found)
