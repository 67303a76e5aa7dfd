"""`tsssl-fast export`: the encoder as a program that runs without this package."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from tsssl_fast.cli.after import app as app
from tsssl_fast.cli.options import Checkpoint, Json, completion, say
from tsssl_fast.training.devices import DEVICES


@app.command()
def export(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="Such as encoder.pt2, or encoder.onnx for ONNX.")],
    device: Annotated[
        str,
        typer.Option(
            help="Where the encoder is tried first; it is traced on the CPU and loads there. One "
            f"of {', '.join(DEVICES)}.",
            autocompletion=completion(lambda: DEVICES),
        ),
    ] = "cpu",
    steps: Annotated[
        bool,
        typer.Option(
            "--steps",
            help="Features per step too, (N, L, F), before (N, D).",
            show_default="off",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the encoder with its scaling as a torch.export program or an ONNX model."""
    from tsssl_fast import training
    from tsssl_fast.cli.progress import RowsBar

    place = training.device(device)
    with RowsBar("exporting", None), warnings.catch_warnings():
        # torch says it of weights in one storage, which load alike.
        warnings.filterwarnings("ignore", message="No complete tensor found in the group")
        about = training.export(checkpoint, out, device=place, steps=steps)
    every = f"(N, {about['steps']}, {about['features_per_step']}), " if steps else ""
    text = (
        f"{out}: {about['method']} encoder of {about['data']}, (N, {about['channels']}, "
        f"{about['length']}) -> {every}(N, {about['features']})"
    )
    say(as_json, text, program=out, **about)
