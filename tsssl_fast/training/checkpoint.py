"""One file, `DIR/checkpoint.pt`: plain values and tensors, loaded with weights_only=True.

| key       | holds                                                                    |
| --------- | ------------------------------------------------------------------------ |
| format    | FORMAT; version: of tsssl_fast, for the reader                           |
| config    | `Config` as a dict, resolved                                             |
| data      | name, channels, length, classes, train series and their digest; Hz, or   |
|           | None; test_share, split_seed: how the test split was drawn               |
| reading   | `data.Reading` as a dict; absent in format 1                             |
| scaling   | shift, scale: (C,) float64, in format 1 float32                          |
| epoch     | epochs done                                                              |
| model     | state_dict of the method (the encoder's under `encoder.`)                |
| optimizer | state_dict                                                               |
| finetuned | after fine-tuning only: as data, of those that it was on                 |

`read` checks every field before anything is built from it.
"""

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tsssl_fast import _version, encoders
from tsssl_fast.common import checks
from tsssl_fast.data import Reading, Scaling
from tsssl_fast.training.adapt import adapt
from tsssl_fast.training.config import Config

FORMAT = 2
READ = (1, 2)
MOST = 1 << 24  # channels or steps; a series has less
NAME = "checkpoint.pt"
DRAWN = ("test_share", "split_seed")
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
    checkpoint of tsssl_fast, has another format or a field that can not be, which it names.
    """
    file = locate(path)
    if not file.is_file():
        raise FileNotFoundError(f"checkpoint: {file}: no such file")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises what its first bad byte leads to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"checkpoint: {file}: not a complete checkpoint ({reason})") from error
    if not isinstance(content, dict) or "format" not in content:
        raise ValueError(f"checkpoint: {file}: not a checkpoint of tsssl_fast")
    if content["format"] not in READ:
        raise ValueError(
            f"checkpoint: {file}: format {content['format']}; accepted: "
            f"{' and '.join(map(str, READ))} (tsssl_fast {_version.__version__}; this file was "
            f"written by {content.get('version')})"
        )
    content = {"reading": {}} | content
    config: Any = content.get("config")
    old = ("auto", "32", "bf16")
    if isinstance(config, dict) and "amp" not in config and config.get("precision") in old:
        config["amp"] = config.pop("precision")  # its name before it was that of the losses
    for name in sorted(KEYS - content.keys()):
        raise ValueError(f"checkpoint: {file}: no field {name}; accepted: one of {sorted(KEYS)}")
    try:
        _check(content)
    except (TypeError, ValueError) as error:
        raise ValueError(f"checkpoint: {file}: {error}") from error
    return content


def _check(content: dict[str, Any]) -> None:
    """Raises TypeError or ValueError at the first field that can not be."""
    for name in ("config", "data", "scaling", "model", "optimizer", "reading"):
        _of(name, content[name], dict)
    try:
        config = Config.of(content["config"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"config: {error}") from error
    try:
        Reading.of(content["reading"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"reading: {error}") from error
    for name in ("data", "finetuned"):
        if name in content:
            _check_data(name, _of(name, content[name], dict))
    most = config.epochs if "finetuned" not in content else MOST
    _within("epoch", content["epoch"], 0, most)
    channels = series_shape(content)[0]
    for name in ("shift", "scale"):
        values = _of(f"scaling.{name}", content["scaling"].get(name), torch.Tensor)
        if values.shape != (channels,) or not values.is_floating_point():
            raise ValueError(
                f"scaling.{name}: {values.dtype} {tuple(values.shape)}; accepted: floats "
                f"({channels},)"
            )
        if not torch.isfinite(values).all() or (name == "scale" and not (values > 0).all()):
            raise ValueError(f"scaling.{name}: accepted: finite numbers, scales above 0")
    for name, value in content["model"].items():
        _of(f"model.{name}", value, torch.Tensor)


def _check_data(place: str, data: dict[str, Any]) -> None:
    _of(f"{place}.name", data.get("name"), str)
    for name in ("channels", "length"):
        _within(f"{place}.{name}", data.get(name), 1, MOST)
    for name in _of(f"{place}.classes", data.get("classes"), list):
        _of(f"{place}.classes", name, str)
    for name in _of(f"{place}.channel_names", data.get("channel_names", []), list):
        _of(f"{place}.channel_names", name, str)
    if data.get("rate") is not None:
        checks.positive(f"{place}.rate", data["rate"])
    if "digest" in data:
        _of(f"{place}.digest", data["digest"], str)
    if "train_series" in data:
        _within(f"{place}.train_series", data["train_series"], 1, MOST)
    try:
        Reading.of({name: data[name] for name in DRAWN if name in data})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}.{error}") from error


def _of(name: str, value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise TypeError(f"{name}: {type(value).__name__}; accepted: {kind.__name__}")
    return value


def _within(name: str, value: Any, least: int, most: int) -> None:
    if not least <= _of(name, value, int) <= most:
        raise ValueError(f"{name}: {value}; accepted: {least} to {most}")


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
    trained, given = (data["channels"], data["length"]), series_shape(content)
    prefix = "encoder."
    weights = {
        k.removeprefix(prefix): v for k, v in content["model"].items() if k.startswith(prefix)
    }
    try:
        with torch.device("meta"):  # takes no memory: a file may claim any size
            shape = adapt(encoders.build(config["encoder"], *trained), trained, given)
        shape.load_state_dict(weights, assign=True)
        encoder = adapt(encoders.build(config["encoder"], *trained), trained, given)
        encoder.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"checkpoint: {locate(path)}: its weights are not of encoder {config['encoder']!r} "
            f"({' '.join(str(error).split())[:120]})"
        ) from error
    scaling = Scaling(*(content["scaling"][name].double() for name in ("shift", "scale")))
    return encoder.eval().requires_grad_(False), scaling, content
