"""One run writes into a folder at a time."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds `folder/.lock` meanwhile, and makes the folder; what is empty afterwards goes again.

    The system gives the lock up with the process that holds it, however that ends, so a dead run's
    is taken over. Of several processes of one run the first alone holds it. Raises FileExistsError
    where another run holds it, NotADirectoryError where a file is in the way.
    """
    if int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))):
        yield
        return
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        file = next(place for place in (folder, *folder.parents) if place.exists())
        raise NotADirectoryError(f"out: {file} is a file; accepted: a folder") from error
    path = folder / NAME
    handle = _acquire(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)
        if made and not any(folder.iterdir()):
            folder.rmdir()


def _acquire(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(handle, 32).decode(errors="replace").strip()
            os.close(handle)
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            raise FileExistsError(
                f"out: {path.parent} is being written by process {owner or 'unknown'}; accepted: "
                "another folder, or wait"
            ) from error
        try:
            current = os.stat(path).st_ino == os.fstat(handle).st_ino
        except FileNotFoundError:
            current = False
        if current:  # else its last owner took the file away between the two calls
            os.truncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
            return handle
        os.close(handle)
