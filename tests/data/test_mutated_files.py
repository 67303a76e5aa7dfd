"""Files that were cut or changed: a result, or one error of the right kind that names the file."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from tsssl_fast import data

RUNS = int(os.environ.get("TSSSL_FUZZ_RUNS", "60"))  # of each kind
LONG = "series,subject,time,x,y,label\n" + "".join(
    f"{s},{s // 2},{t / 10},{s * t},{t % 3},{'ab'[s % 2]}\n" for s in range(4) for t in range(6)
)
STAMPED = "@timeStamps true\n@classLabel true a b\n@data\n(0,1),(1,-2):a\n(0,3),(1,4e1):b\n"
PLAIN = "@classLabel true a b\n@data\n1,2:3,?:a\n5,6,7:7,8,9:b\n"
ARFF = "@relation T\n@attribute a numeric\n@attribute c {u,v}\n@data\n1,2,u\n3,4,v\n"
TSF = "@relation T\n@attribute name string\n@data\nT1:1,2,3\nT2:4,5\n"


def archive() -> bytes:
    file = io.BytesIO()
    np.savez(file, X_train=np.arange(24.0).reshape(4, 2, 3), y_train=np.arange(4) % 2)
    return file.getvalue()


def tensors() -> bytes:
    file = io.BytesIO()
    torch.save({"X": torch.arange(24.0).reshape(4, 2, 3)}, file)
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(24.0).reshape(4, 2, 3))
    return file.getvalue()


WHOLE = {
    "long.csv": LONG.encode(),
    "dates.csv": LONG.replace("0.", "2024-01-01 00:00:0").replace(",", ";").encode(),
    "wide.tsv": b"1\t0.5\t2\n-1\t3\t4\n1\t5\tNaN\n-1\t6\t7\n",
    "quoted.csv": LONG.replace("a\n", '"a"\n').encode("utf-16"),
    "stamped.ts": STAMPED.encode(),
    "plain.ts": PLAIN.encode(),
    "t.arff": ARFF.encode(),
    "t.tsf": TSF.encode(),
    "t.npz": archive(),
    "t.npy": array(),
    "t.pt": tensors(),
}


def mutated(whole: bytes, rng: np.random.Generator) -> bytes:
    """Cut, with bytes changed, a part left out, or a part twice."""
    content = bytearray(whole)
    kind, at = rng.integers(4), int(rng.integers(len(content)))
    end = min(len(content), at + int(rng.integers(1, 20)))
    if kind == 0:
        del content[at:]
    elif kind == 1:
        for place in rng.integers(len(content), size=3):
            content[place] = rng.choice([*b" ,;:\t\n\"'()@?-+.0e#", 0, 255, int(rng.integers(256))])
    elif kind == 2:
        del content[at:end]
    else:
        content[at:at] = content[at:end] * int(rng.integers(1, 4))
    return bytes(content)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.filterwarnings("ignore")
def test_a_result_or_one_error_that_names_the_file(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(len(name))
    path = tmp_path / name
    results = errors = 0
    for _ in range(RUNS):
        path.write_bytes(content := mutated(WHOLE[name], rng))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            message, read = loaded(path)
        if read is None:
            errors += 1
            assert message.startswith("data: "), content
            assert name in message, content
        else:
            results += 1
            assert torch.isfinite(read.x_train).all(), content
    assert results + errors == RUNS
    assert errors > 0


def loaded(path: Path) -> tuple[str, data.Dataset | None]:
    try:
        return "", data.load(path, labels=False, missing="zero", unequal="resample")
    except ValueError as error:
        return str(error), None
