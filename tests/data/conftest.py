"""What tests of readers share."""

import logging

import pytest


@pytest.fixture
def told(caplog):
    """The lines that were told."""
    caplog.set_level(logging.INFO, logger="tsssl_fast")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def write(tmp_path):
    def to(name, content):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to
