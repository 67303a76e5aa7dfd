"""What a command of `tests/cli` says where its input is bad."""


def bad(result, message, status=1):
    """A command (status, stdout, stderr) ended with that status and one line with the message."""
    got, _, error = result
    assert got == status
    lines = [line for line in error.splitlines() if line.strip()]
    assert len(lines) == 1, error
    assert lines[0].startswith("tsssl-fast: error: ")
    assert message in lines[0]
