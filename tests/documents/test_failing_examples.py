"""A block of a page or an example that fails ends with status 1, which is what CI looks at."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("python\nassert 1 == 2", "AssertionError"),
        ("sh\ntsssl-fast embed --no-such-option", "--no-such-option"),
        ("sh\npython benchmarks/no_such_script.py", "no_such_script.py"),
    ],
)
def test_a_page_whose_block_fails(tmp_path, block, said):
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n```{block}\n```\n")
    done = subprocess.run(
        [sys.executable, TOOLS / "pages", page], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert said in done.stdout
    assert "1 blocks failed" in done.stderr


def test_an_example_that_fails(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("run_examples", TOOLS / "run_examples.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "good.py").write_text("print('well')\n")
    (tmp_path / "bad.py").write_text("raise ValueError('not well')\n")
    monkeypatch.setattr(module, "EXAMPLES", tmp_path)
    monkeypatch.setattr(sys, "argv", ["run_examples.py"])
    with pytest.raises(SystemExit, match="1 examples failed"):
        module.main()
    assert "ValueError: not well" in capsys.readouterr().out
