"""The Triton kernels in Triton's interpreter: tests/interpreter, in processes of their own."""

import pytest
from beside import INTERPRETER_FILES, Beside


@pytest.mark.parametrize("file", INTERPRETER_FILES)
def test_interpreted(file: str, beside: Beside) -> None:
    pytest.importorskip("triton")
    result = beside.interpreted(file)
    out = result.out.decode()
    closing = out.strip().splitlines()[-1:]
    print(file, *closing)
    assert result.status == 0, out[-8000:] + result.error[-2000:]
    assert "passed" in closing[0]
    assert "skipped" not in closing[0], "nothing may be skipped here"
