"""tests/api.json holds the public names; what changes there stands in CHANGELOG.md."""

import json

import pytest
from public_api import FILE, changes, current, untold

CHANGELOG = """
## [Unreleased]

### Changed

* `shut` takes `hard`.

### Added

* `opened`, `closed` and `Door`.

## [0.1]

* `window`.
"""


def test_the_public_names_are_those_of_the_file() -> None:
    """`python tests/public_api.py --write` rewrites it, once CHANGELOG.md tells of the change."""
    assert changes(json.loads(FILE.read_text()), current()) == {}


def test_signatures_and_defaults_are_in_it() -> None:
    names = json.loads(FILE.read_text())
    assert len(names) > 300
    assert names["tsssl_fast.functional"] == "module"
    assert names["tsssl_fast.preprocess.minmax"].startswith("(x, *, low=0.0, high=1.0, ")
    assert "tsssl_fast.losses.FeatureQueue" in names
    assert not any(" at 0x" in shown for shown in names.values())


@pytest.mark.parametrize(
    ("name", "what", "told"),
    [
        ("p.opened", "added: (x)", True),
        ("p.open", "added: (x)", False),
        ("p.shut", "added: (x)", True),
        ("p.shut", "(x)  ->  (x, hard)", True),
        ("p.opened", "(x)  ->  (x, y)", False),
        ("p.opened", "removed", False),
        ("p.Door.lock", "added: (self)", True),
        ("p.Door.lock", "removed", False),
        ("p.window", "added: (x)", False),
    ],
)
def test_a_change_has_a_line_in_the_changelog(name: str, what: str, told: bool) -> None:
    assert untold({name: what}, CHANGELOG) == ([] if told else [name])


def test_changes_are_named() -> None:
    assert changes({"a": "(x)", "b": "(x)", "c": "1"}, {"a": "(x)", "b": "(x, y=1)", "d": "2"}) == {
        "b": "(x)  ->  (x, y=1)",
        "c": "removed",
        "d": "added: 2",
    }
