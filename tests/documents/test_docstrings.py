"""Every public name has a docstring, which says shapes, dtypes, units and what is raised.

What is looked for, and where, is in tests/public_docs.py; ruff's rules D look at the form.
"""

import ast
import inspect
from typing import Any

import pytest
from import_graph import PACKAGE, ROOT
from public_docs import (
    DTYPE,
    NAMES,
    NEVER,
    SHAPE,
    _raised,
    callables,
    docs,
    found,
    is_value,
    lacking,
    raised,
    shown,
    unit_is_said,
)


def documented(name: str) -> bool:
    value, owner = found(name)
    last = name.rpartition(".")[2]
    if inspect.isclass(owner):
        value = inspect.getattr_static(owner, last)
        value = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
        return bool(
            inspect.getdoc(value)
            or any(inspect.getdoc(getattr(c, last, None)) for c in owner.__mro__)
        )
    return bool(inspect.getdoc(value))


def test_every_public_name_has_a_docstring() -> None:
    asked = [name for name in NAMES if not is_value(name)]
    assert len(asked) > 900
    assert [name for name in asked if not documented(name)] == []


def test_shapes_dtypes_units_and_errors_are_said() -> None:
    names = callables()
    assert len(names) > 850
    assert [what for name in names for what in lacking(name)] == []


def test_what_is_never_raised_would_be_found() -> None:
    """An exception from the rule that nothing needs any more goes."""
    assert [name for name, kinds in NEVER.items() if not set(kinds) <= raised(name)] == []


def test_what_several_names_share_is_there() -> None:
    assert len(shown()) > 5
    for name in shown():
        assert inspect.getdoc(found(name)[0]), name


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        ("(N, D) rows, float32. Raises ValueError for others.", True, True),
        ("(V N,) numbers", True, False),
        ("The mean (see above).", False, False),
        ("The loss, a scalar.", True, False),
        ("Any dtype.", False, True),
    ],
)
def test_what_is_looked_for_is_found(text: str, shape: bool, dtype: bool) -> None:
    assert bool(SHAPE.search(text)) == shape
    assert bool(DTYPE.search(text)) == dtype


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("length: steps of a clip.", True),
        ("Args:\n    rate: Hz. length: of a clip.\n", False),
        ("Args:\n    length: of a clip,\n        in steps.\n", True),
        ("lengths: in steps.", False),
    ],
)
def test_units_stand_where_the_parameter_does(text: str, said: bool) -> None:
    assert unit_is_said("length", text) == said


def _helper(value: Any) -> None:
    if value is None:
        raise KeyError("value")


def _raises(value: Any) -> None:
    try:
        int(value)
        _helper(value)
    except KeyError:
        raise RuntimeError("value") from None
    except ZeroDivisionError as error:
        raise TypeError("value") from error


def test_errors_are_those_that_leave_the_function() -> None:
    assert _raised(_raises, 1, set()) == {RuntimeError, TypeError}
    assert ValueError in raised("tsssl_fast.functional.nt_xent_loss")


def test_references_lead_to_what_they_name() -> None:
    text = docs("tsssl_fast.functional.dcl_loss")
    assert "Arguments, result and errors as in" in text
    assert "temperature" in text  # which nt_xent_loss tells


def test_every_module_says_what_it_has() -> None:
    lacking = [
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*.py")
        if path.name != "_version.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert [path for path in lacking if not path.endswith("__init__.py")] == []
