"""The Triton kernels in Triton's interpreter: every test of tests/interpreter, which run in
processes of their own."""

from importlib.util import find_spec

import pytest
from beside import Beside, interpreter_cases, outcomes

pytestmark = [
    pytest.mark.after_triton,
    pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed"),
]


@pytest.mark.parametrize("case", interpreter_cases() if find_spec("triton") else [])
def test_interpreted(case: str, beside: Beside) -> None:
    outcome = beside.interpreted(case)
    assert outcome.kind == "passed", outcome.why  # nothing may be skipped here


def test_the_report_is_read() -> None:
    report = """<testsuites><testsuite>
        <testcase name="test_a[1-b::c]"/>
        <testcase name="test_b"><failure message="m">text</failure></testcase>
        <testcase name="test_c"><skipped message="no"/></testcase>
    </testsuite></testsuites>"""
    found = outcomes(report, "test_x.py")
    assert {name: outcome.kind for name, outcome in found.items()} == {
        "test_x.py::test_a[1-b::c]": "passed",
        "test_x.py::test_b": "failed",
        "test_x.py::test_c": "skipped",
    }
    assert found["test_x.py::test_b"].why == "m\ntext"
