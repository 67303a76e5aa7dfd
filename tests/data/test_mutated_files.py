"""Files that were cut or changed: a result, or one error of the right kind that names the file.

By hand, 20,000 inputs: `TSSSL_FUZZ_RUNS=1539 pytest tests/data/test_mutated_files.py`.
"""

import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tsssl_fast import cli, data

RUNS = int(os.environ.get("TSSSL_FUZZ_RUNS", "42"))  # of each of 13 kinds
AS_PROCESSES = 20
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


def columns() -> bytes:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="what writes Parquet is not installed")
    file = io.BytesIO()
    pandas.read_csv(io.StringIO(LONG)).to_parquet(file, row_group_size=9)
    return file.getvalue()


WHOLE = {
    "long.csv": LONG.encode(),
    "dates.csv": LONG.replace("0.", "2024-01-01 00:00:0").replace(",", ";").encode(),
    "wide.tsv": b"1\t0.5\t2\n-1\t3\t4\n1\t5\tNaN\n-1\t6\t7\n",
    "blanks.txt": b"  1.0e+00   5.0e-01  2\n -1.0e+00  3  4\n  1 5 NaN\n -1 6 7\n",
    "quoted.csv": LONG.replace("a\n", '"a"\n').encode("utf-16"),
    "stamped.ts": STAMPED.encode(),
    "plain.ts": PLAIN.encode(),
    "t.arff": ARFF.encode(),
    "t.tsf": TSF.encode(),
    "t.npz": archive(),
    "t.npy": array(),
    "t.pt": tensors(),
    "t.parquet": columns(),
}


KEYS = st.one_of(st.sampled_from(b" ,;:\t\n\"'()@?-+.0e#\0\xff"), st.integers(0, 255))


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """Cut, with bytes changed, a part left out, or a part several times."""
    content = bytearray(whole)
    places = st.integers(0, len(content) - 1)
    kind = draw(st.sampled_from(["cut", "changed", "left out", "repeated"]))
    if kind == "changed":
        for place in draw(st.lists(places, min_size=1, max_size=3)):
            content[place] = draw(KEYS)
        return bytes(content)
    at = draw(places)
    end = len(content) if kind == "cut" else min(len(content), at + draw(st.integers(1, 19)))
    part = content[at:end]
    content[at:end] = part * draw(st.integers(2, 4)) if kind == "repeated" else b""
    return bytes(content)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.filterwarnings("ignore")
def test_a_result_or_one_error_that_names_the_file(tmp_path: Path, name: str, capfd) -> None:
    path = tmp_path / name
    seen = {"results": 0, "errors": 0}

    @settings(max_examples=RUNS, suppress_health_check=list(HealthCheck))
    @given(mutated(WHOLE[name]))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            message, read = loaded(path)
            status = cli.run(["inspect", str(path), "--no-picture", "--json"])
        said(content, path, status, *capfd.readouterr())
        if read is None:
            seen["errors"] += 1
            assert message.startswith("data: "), content
            assert name in message, content
            assert "accepted: " in message, (message, content)
        else:
            seen["results"] += 1
            assert torch.isfinite(read.x_train).all(), content
        assert [file.name for file in tmp_path.iterdir()] == [name]

    check()
    assert seen["errors"]
    assert sum(seen.values()) >= RUNS


def said(content: bytes, path: Path, status: int, text: str, told: str) -> None:
    """A line of JSON; or nothing, and one line of an error behind the notes."""
    lines = told.splitlines()
    if status == 0:
        assert json.loads(text)["name"] == path.stem, content
        return
    assert (status, text) == (1, ""), content
    assert all(line.startswith("tsssl-fast: ") for line in lines), (lines, content)
    assert [line for line in lines if "error: " in line] == lines[-1:], (lines, content)
    assert lines[-1].startswith("tsssl-fast: error: data: "), (lines, content)
    assert path.name in lines[-1], (lines, content)


FORKED = """
import os, sys
from tsssl_fast import cli
from tsssl_fast.cli import inspecting
for path in sys.argv[1:]:
    child = os.fork()
    if not child:
        for stream, ending in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{path}.{ending}", os.O_WRONLY | os.O_CREAT), stream)
        cli.main(["inspect", path, "--no-picture", "--json"])
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, so as to import once")
def test_processes_end_with_a_status_and_one_line(tmp_path: Path) -> None:
    paths = []
    for number in range(AS_PROCESSES):
        name = list(WHOLE)[number % len(WHOLE)]
        (tmp_path / str(number)).mkdir()
        paths.append(tmp_path / str(number) / name)
        paths[-1].write_bytes(some(name)[-1 - number // len(WHOLE)])
    words = [sys.executable, "-c", FORKED, *map(str, paths)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    for path, status in zip(paths, map(int, done.stdout.split()), strict=True):
        text, told = (Path(f"{path}.{ending}").read_text() for ending in ("out", "err"))
        said(path.read_bytes(), path, status, text, told)


def some(name: str) -> list[bytes]:
    """Several; the first ones are the simplest, such as an empty file."""
    found: list[bytes] = []

    @settings(max_examples=9)
    @given(mutated(WHOLE[name]))
    def collect(content: bytes) -> None:
        found.append(content)

    collect()
    return found


def loaded(path: Path) -> tuple[str, data.Dataset | None]:
    try:
        return "", data.load(path, labels=False, missing="zero", unequal="resample")
    except ValueError as error:
        return str(error), None
