"""Lines of code are counted without blank lines, comments and docstrings."""

from count_lines import cpp_lines, folder, functions, python_lines

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
    assert list(functions(PYTHON)) == [(6, 4, "f")]
    assert folder("tsssl_fast/ops/masking/cpp/fill.py") == "tsssl_fast/ops/masking"
    assert folder("tsssl_fast/training/loop.py") == "tsssl_fast/training"
    assert folder("setup.py") == "setup.py"
