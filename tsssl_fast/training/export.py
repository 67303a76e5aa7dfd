"""A trained encoder as a `torch.export` program, which runs without this package.

program = torch.export.load("encoder.pt2").module()
features = program(torch.zeros(5, 9, 128))  # raw series (N, C, T), N free
"""

import json
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from tsssl_fast.data import Scaling
from tsssl_fast.training.checkpoint import load_encoder, series_shape


class Pipeline(nn.Module):
    """Raw series (N, C, T) -> features (N, F): the scaling of the train split, then the encoder."""

    shift: Tensor
    scale: Tensor

    def __init__(self, encoder: nn.Module, scaling: Scaling) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("shift", scaling.shift[:, None].clone())
        self.register_buffer("scale", scaling.scale[:, None].clone())

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.encoder((x - self.shift) / self.scale)
        return features


def export(checkpoint: str | Path, out: str | Path) -> dict[str, object]:
    """Writes the encoder of a checkpoint with its scaling to `out` (a `.pt2` file), in one step.

    The batch size is free, channels and length are those of the training data. Beside the program
    the file holds `tsssl_fast.json`, which this returns: method, data, channels, length, features.

    Raises as `training.checkpoint.read`; ValueError where `out` is no `.pt2` file.
    """
    out = Path(out)
    if out.suffix != ".pt2":
        raise ValueError(f"out: {out}; accepted: a name that ends in .pt2")
    encoder, scaling, content = load_encoder(checkpoint)
    channels, length = series_shape(content)
    pipeline = Pipeline(encoder, scaling).eval()
    example = torch.zeros(2, channels, length)
    with torch.no_grad():
        width = pipeline(example).shape[1]
        batch = torch.export.Dim("batch", min=1)
        program = torch.export.export(pipeline, (example,), dynamic_shapes=({0: batch},))
    about: dict[str, object] = {
        "tsssl_fast": content["version"],
        "method": content["config"]["method"],
        "data": content["data"]["name"],
        "channels": channels,
        "length": length,
        "features": width,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{os.getpid()}.{out.name}")
    try:
        torch.export.save(program, temporary, extra_files={"tsssl_fast.json": json.dumps(about)})
        os.replace(temporary, out)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return about
