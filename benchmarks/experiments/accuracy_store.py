"""Records of `accuracy.py` in one JSON file that several processes may add to."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

KEY = ("dataset", "method", "seed", "recipe")


class Store:
    """A list of records; the key of one is (dataset, method, seed, recipe hash)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        records: list[dict[str, Any]] = json.loads(self.path.read_text())["records"]
        return records

    def has(self, record: dict[str, Any]) -> bool:
        return any(all(r[k] == record[k] for k in KEY) for r in self.read())

    def add(self, record: dict[str, Any]) -> None:
        """In place of a record with the same key; the file is replaced in one step."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # released with the descriptor
            kept = [r for r in self.read() if any(r[k] != record[k] for k in KEY)]
            kept = sorted([*kept, record], key=lambda r: [str(r[k]) for k in KEY])
            lines = ",\n".join("  " + json.dumps(r) for r in kept)
            temporary = self.path.with_suffix(f".{os.getpid()}")
            temporary.write_text('{"records": [\n' + lines + "\n]}\n")
            os.replace(temporary, self.path)
        finally:
            os.close(folder)
