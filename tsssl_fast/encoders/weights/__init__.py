"""Encoders that are trained already and part of the package.

    encoder = tsssl_fast.encoders.pretrained("generated-1")
    z = encoder(scaled_series)  # (N, C, T) of any C and T -> (N, D)

| file        | holds                                                                          |
| ----------- | ------------------------------------------------------------------------------ |
| NAME.pt     | the state of a `Channelwise` encoder in float16, read with weights_only=True   |
| NAME.json   | what it was built and trained with, the log, and the SHA-256 of NAME.pt        |

`python -m tsssl_fast.training.generated --out DIR --weights NAME.pt` writes both.
"""

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.common import checks
from tsssl_fast.encoders.channelwise import Channelwise
from tsssl_fast.encoders.readout import ReadOut

__all__ = ["NAMES", "about", "pretrained", "read", "start", "write"]

FOLDER = Path(__file__).parent
NAMES = ("generated-1",)


def pretrained(name: str, channels: int | None = None, *, full: bool = False) -> ReadOut:
    """The encoder `name` in evaluation mode, its weights frozen.

    Args:
        name: one of `encoders.weights.NAMES`; "generated-1" was trained on `data.generated` alone.
        channels, full: of `ReadOut`.

    Raises ValueError for another name, or a file that is damaged; FileNotFoundError where it is
    missing.
    """
    return ReadOut(start(name), channels, full=full).eval().requires_grad_(False)


def start(name: str, channels: int = 1) -> Channelwise:
    """The network of `name` alone, to train on. Raises as `pretrained`."""
    checks.choice("name", name, NAMES)
    return read(FOLDER / f"{name}.pt", channels)


def about(name: str) -> dict[str, Any]:
    """What the encoder `name` was trained with, as its file has it. Raises as `pretrained`."""
    checks.choice("name", name, NAMES)
    return _about(FOLDER / f"{name}.pt")


def read(path: Path, channels: int = 1) -> Channelwise:
    """The encoder in a file. Raises ValueError where it is not what its JSON file says."""
    found = _about(path)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != found.get("sha256"):
        raise ValueError(f"weights: {path}: damaged, its SHA-256 is not that of {path.stem}.json")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        encoder = Channelwise(channels, **found["encoder"])
        encoder.load_state_dict({key: value.float() for key, value in state.items()})
    except (
        RuntimeError,
        EOFError,
        AttributeError,
        KeyError,
        TypeError,
        pickle.UnpicklingError,
    ) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"weights: {path}: not of an encoder ({reason})") from error
    return encoder


def _about(path: Path) -> dict[str, Any]:
    beside = path.with_suffix(".json")
    for file in (path, beside):
        if not file.is_file():
            raise FileNotFoundError(f"weights: {file}: no such file")
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"weights: {beside}: damaged ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"weights: {beside}: damaged, no mapping")
    return found


def write(path: Path, encoder: Channelwise, training: Mapping[str, Any]) -> None:
    """Writes the encoder's weights, rounded to float16, and beside them what is known of them.

    training: plain values. Raises ValueError for another ending than .pt.
    """
    if path.suffix != ".pt":
        raise ValueError(f"weights: {path}; accepted: a name that ends in .pt")
    state: dict[str, Tensor] = {
        name: value.detach().half().contiguous() for name, value in encoder.state_dict().items()
    }
    content = io.BytesIO()
    torch.save(state, content)
    built = {"width": encoder.width, "depth": len(encoder.blocks), "groups": encoder.groups}
    known = {
        "encoder": built,
        "parameters": sum(value.numel() for value in state.values()),
        "sha256": hashlib.sha256(content.getvalue()).hexdigest(),
        **training,
    }
    path.write_bytes(content.getvalue())
    text = json.dumps(known, indent=1, ensure_ascii=False)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
