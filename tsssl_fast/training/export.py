"""A trained encoder as a `torch.export` program or an ONNX model, which run without this package.

program = torch.export.load("encoder.pt2").module()
features = program(torch.zeros(5, 9, 128))  # raw series (N, C, T), N free

session = onnxruntime.InferenceSession("encoder.onnx")
features = session.run(["features"], {"series": np.zeros((5, 9, 128), np.float32)})[0]
"""

import copy
import importlib.util
import json
import logging
import os
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from tsssl_fast.data import Scaling
from tsssl_fast.training.checkpoint import load_encoder, series_shape


class Pipeline(nn.Module):
    """Raw series (N, C, T) -> features (N, D): the scaling of the train split, then the encoder.

    steps: features per step, (N, L, F), before those.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, encoder: nn.Module, scaling: Scaling, steps: bool = False) -> None:
        super().__init__()
        self.options = {"return_steps": True} if steps else {}
        self.encoder = encoder
        self.register_buffer("shift", scaling.shift[:, None].clone())
        self.register_buffer("scale", scaling.scale[:, None].clone())

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        # As `Scaling`: in float64, whatever the unit, and the encoder's float32 behind it.
        scaled = ((x.double() - self.shift) / self.scale).float()
        features: Tensor | tuple[Tensor, Tensor] = self.encoder(scaled, **self.options)
        return features


def export(
    checkpoint: str | Path,
    out: str | Path,
    *,
    device: str | torch.device = "cpu",
    steps: bool = False,
) -> dict[str, object]:
    """Writes the encoder of a checkpoint with its scaling to `out`, in one step.

    The batch size is free, channels and length are those of the training data. A `.pt2` file is a
    program of `torch.export` and holds `tsssl_fast.json` beside it; a `.onnx` file is an ONNX model
    from `series` to `features` with the same as metadata `tsssl_fast`. This returns it: method,
    data, channels, length, features; steps, features_per_step where asked for.

    device: where the encoder is tried first. The program is traced on the CPU, and loads there.
    steps: the program gives features per step (N, L, F) and then those of the series (N, D), in
    ONNX as `steps` and `features`.

    Raises as `training.checkpoint.read`; ValueError for another kind of file; ImportError where
    what writes `.onnx` is not installed.
    """
    out = Path(out)
    if out.suffix not in (".pt2", ".onnx"):
        raise ValueError(f"out: {out}; accepted: a name that ends in .pt2 or .onnx")
    if out.suffix == ".onnx":
        _check_onnx()
    encoder, scaling, content = load_encoder(checkpoint)
    channels, length = series_shape(content)
    example = torch.zeros(2, channels, length)
    with torch.no_grad():
        tried = copy.deepcopy(encoder).eval().to(device)
        pipeline = Pipeline(encoder, scaling, steps).eval()
        found = tried(scaling(example).to(device), **pipeline.options)
        batch = torch.export.Dim("batch", min=1)
        program = torch.export.export(pipeline, (example,), dynamic_shapes=({0: batch},))
    about: dict[str, object] = {
        "tsssl_fast": content["version"],
        "method": content["config"]["method"],
        "data": content["data"]["name"],
        "channels": channels,
        "length": length,
        "features": (found[-1] if steps else found).shape[1],
    }
    if steps:
        about |= {"steps": found[0].shape[1], "features_per_step": found[0].shape[2]}
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{os.getpid()}.{out.name}")
    try:
        if out.suffix == ".onnx":
            names = ["steps", "features"] if steps else ["features"]
            _save_onnx(program, temporary, names, json.dumps(about))
        else:
            extra = {"tsssl_fast.json": json.dumps(about)}
            torch.export.save(program, temporary, extra_files=extra)
        os.replace(temporary, out)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return about


def _check_onnx() -> None:
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"out: .onnx is written by {' and '.join(missing)}; install it by: "
            "pip install 'tsssl_fast[onnx]'"
        )


def _save_onnx(
    program: torch.export.ExportedProgram, path: Path, names: list[str], about: str
) -> None:
    # Its exporter speaks of every library of operators that is not installed, and torch of its own.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            model = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=["series"],
                output_names=names,
            )
    finally:
        logging.disable(before)
    assert model is not None
    model.model.metadata_props["tsssl_fast"] = about
    model.save(path)
