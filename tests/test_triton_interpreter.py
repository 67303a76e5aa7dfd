"""The Triton kernels in Triton's interpreter: tests/interpreter, in processes of their own."""

import pytest
from interpreted import FILES, Interpreted


@pytest.mark.parametrize("name", FILES)
def test_interpreted(name: str, interpreted: Interpreted) -> None:
    pytest.importorskip("triton")
    result = interpreted.results[name].result(timeout=1800)
    closing = result.stdout.strip().splitlines()[-1:]
    print(name, *closing)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    assert "passed" in closing[0]
    assert "skipped" not in closing[0], "nothing may be skipped here"
