"""One file, `DIR/checkpoint.pt`: plain values and tensors, loaded with weights_only=True.

| key       | holds                                                                    |
| --------- | ------------------------------------------------------------------------ |
| format    | FORMAT; version: of tsssl_fast, for the reader                           |
| config    | `Config` as a dict, resolved                                             |
| data      | name, channels, length, train series and their digest                    |
| scaling   | shift, scale: (C,) float32                                               |
| epoch     | epochs done                                                              |
| model     | state_dict of the method (the encoder's under `encoder.`)                |
| optimizer | state_dict                                                               |
| finetuned | after fine-tuning only: name, channels, length, classes of that data     |
"""

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tsssl_fast import _version, encoders
from tsssl_fast.data import Scaling
from tsssl_fast.training.adapt import adapt

FORMAT = 1
NAME = "checkpoint.pt"
KEYS = {"format", "version", "config", "data", "scaling", "epoch", "model", "optimizer"}


def locate(path: str | Path) -> Path:
    """The file of a run's folder, or the file itself."""
    path = Path(path)
    return path / NAME if path.is_dir() else path


def write(folder: Path, content: dict[str, Any]) -> None:
    """Replaces the checkpoint in one step: a reader or a crash finds the old or the new one."""
    content = {"format": FORMAT, "version": _version.__version__, **content}
    temporary = folder / f".{NAME}.{os.getpid()}"
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / NAME)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU; `path` is the file or the run's folder.

    Raises FileNotFoundError where there is none; ValueError for a file that is truncated, is no
    checkpoint of tsssl_fast or has another format.
    """
    file = locate(path)
    if not file.is_file():
        raise FileNotFoundError(f"checkpoint: {file}: no such file")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"checkpoint: {file}: not a complete checkpoint ({reason})") from error
    if not isinstance(content, dict) or "format" not in content:
        raise ValueError(f"checkpoint: {file}: not a checkpoint of tsssl_fast")
    if content["format"] != FORMAT or not content.keys() >= KEYS:
        raise ValueError(
            f"checkpoint: {file}: format {content['format']}; accepted: {FORMAT} (tsssl_fast "
            f"{_version.__version__}; this file was written by {content.get('version')})"
        )
    return content


def series_shape(content: dict[str, Any]) -> tuple[int, int]:
    """(channels, length) of the series that a checkpoint's encoder takes."""
    data = content.get("finetuned") or content["data"]
    return data["channels"], data["length"]


def load_encoder(path: str | Path) -> tuple[nn.Module, Scaling, dict[str, Any]]:
    """The frozen encoder of a checkpoint in evaluation mode, the scaling of its input, and all the
    rest.

    Raises as `read`; ValueError where the weights are of another encoder than the configuration.
    """
    content = read(path)
    config, data = content["config"], content["data"]
    trained = data["channels"], data["length"]
    encoder = adapt(encoders.build(config["encoder"], *trained), trained, series_shape(content))
    prefix = "encoder."
    try:
        encoder.load_state_dict(
            {k.removeprefix(prefix): v for k, v in content["model"].items() if k.startswith(prefix)}
        )
    except RuntimeError as error:
        raise ValueError(
            f"checkpoint: {locate(path)}: its weights are not of encoder {config['encoder']!r} "
            f"({' '.join(str(error).split())[:120]})"
        ) from error
    scaling = Scaling(content["scaling"]["shift"], content["scaling"]["scale"])
    return encoder.eval().requires_grad_(False), scaling, content
