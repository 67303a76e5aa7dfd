"""The command line in this process."""

import pytest
from toy import write_npz

from tsssl_fast import cli


@pytest.fixture
def npz(tmp_path):
    """The file of a small data set."""
    path = tmp_path / "sines.npz"
    write_npz(path)
    return path


@pytest.fixture
def command(capfd):
    """Runs a command: (exit status, stdout, stderr)."""

    def run(*arguments):
        status = cli.run([str(a) for a in arguments])
        captured = capfd.readouterr()
        return status, captured.out, captured.err

    return run
