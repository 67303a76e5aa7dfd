"""Lines of code are counted without blank lines, comments and docstrings."""

from count_lines import FUNCTION_LINES, cpp_lines, folder, functions, python_lines, sources

PYTHON = '''"""Of the
module."""

import os  # counts


class A:
    """Of the class."""

    x = """
    a string

    of four lines"""

    def f(
        self,
    ):
        """Of a function."""
        # a comment
        return "#"
'''
CPP = """// a comment
#include "a//b.h"

/* of
   two lines */ int x = 1;
const char* s = "/* no comment */";
char c = '"';  // of a quotation mark
"""


def test_lines() -> None:
    # import, class, x with its four lines, three of def, return
    assert python_lines(PYTHON) == 1 + 1 + 4 + 3 + 1
    assert cpp_lines(CPP) == 4


def test_functions_and_folders() -> None:
    assert list(functions(PYTHON)) == [(1, "f")]
    assert folder("tsssl_fast/ops/masking/cpp/fill.py") == "tsssl_fast/ops/masking"
    assert folder("tsssl_fast/training/loop.py") == "tsssl_fast/training"
    assert folder("setup.py") == "setup.py"


def test_functions_are_short() -> None:
    """Lines of code of their own: without signature, docstring, blank lines and comments."""
    found = {path: functions(text) for path, text in sources(None) if path.endswith(".py")}
    assert sum(1 for path in found if path.startswith("tsssl_fast/")) > 300
    long = {(path, name): own for path, of in found.items() for own, name in of}
    assert not {place: own for place, own in long.items() if own > FUNCTION_LINES}
