"""The command line in this process."""

import pytest

from tsssl_fast import cli


@pytest.fixture
def command(capfd):
    """Runs a command: (exit status, stdout, stderr)."""

    def run(*arguments):
        status = cli.run([str(a) for a in arguments])
        captured = capfd.readouterr()
        return status, captured.out, captured.err

    return run
