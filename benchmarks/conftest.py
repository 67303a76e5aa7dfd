"""`pytest benchmarks`: modules of this folder by their names, and times beside xdist."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """--dist of pyproject.toml is for -n; pytest-benchmark times nothing where it is set."""
    if not getattr(config.option, "numprocesses", None):
        config.option.dist = "no"
