"""What reading decides is told, and what it can not decide is refused by name."""

import numpy as np
import pytest

from tsssl_fast import data

X = np.arange(24.0).reshape(4, 2, 3)


@pytest.mark.parametrize("unequal", [False, True])
def test_how_many_values_were_missing(tmp_path, write, told, unequal):
    x = X.copy()
    x[0, 1, 2] = x[3, 0, 0] = np.nan
    path = tmp_path / "t.npz"
    np.savez(path, X=x)
    count = 24
    if unequal:
        lines = [":".join(",".join(map(str, channel)) for channel in series) for series in x]
        path = write("t.ts", "@problemName T\n@data\n" + "\n".join([*lines, "1:2"]) + "\n")
        count = 26
    for missing in ("zero", "linear"):
        data.load(path, labels=False, missing=missing, unequal="pad")
        line = f"data: 2 of {count} values of X_train were missing: filled by missing={missing!r}"
        assert told().count(line) == 1
    with pytest.raises(ValueError, match="X_train has 2 NaN; choose missing="):
        data.load(path, labels=False, unequal="pad")


def test_arrays_that_are_left_out(tmp_path, told):
    y = np.arange(4) % 2
    np.savez(tmp_path / "t.npz", X_train=X, y_train=y, X_val=X, lengths=y, notes=[{}])
    data.load(tmp_path / "t.npz")
    assert "data: arrays left out: X_val, lengths, notes" in told()
    np.savez(tmp_path / "t.npz", data=X, labels=y)
    count = len(told())
    assert data.load(tmp_path / "t.npz").y_train.tolist() == [0, 1, 0, 1]
    assert len(told()) == count


def test_labels_that_are_python_objects_are_named(tmp_path):
    np.savez(tmp_path / "t.npz", X=X, y=np.array(["a", "b", "a", None], object))
    message = r"t\.npz: array y holds Python objects, .*accepted: numbers or text, as y\.astype"
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path / "t.npz")


def test_a_stray_time_stamp_makes_no_steps_beyond_memory(write):
    rows = [f"{t},{t % 3}" for t in (0, *range(1_700_000_000, 1_700_000_006))]
    path = write("t.csv", "\n".join(["time,x", *rows]))
    with pytest.raises(ValueError, match=r"resample: 1e\+06 Hz, .* lasts 1\.7e\+09 s, .*a stray"):
        data.load(path, labels=False, resample=1e6)
    with pytest.raises(ValueError, match="resample: "):
        data.load(path, labels=False, resample=1e308)


def test_rows_without_a_header_and_without_labels(write, told):
    rows = [",".join(f"{n + t / 8}" for t in range(1, 9)) for n in range(4)]
    path = write("t.csv", "\n".join(rows))
    loaded = data.load(path, labels=False, table="wide")
    assert loaded.x_train[1].tolist() == [[1 + t / 8 for t in range(1, 9)]]
    assert (loaded.classes, loaded.regression) == ((), False)
    assert "data: no header, and fractions in the first column: no labels" in told()
    whole = write("w.csv", "1,5,6\n2,7,8\n1,9,9\n2,3,4\n")
    assert data.load(whole, labels=False, table="wide").classes == ("1", "2")
    named = data.load(whole, labels=False, table="wide", columns={"values": "0,1,2"})
    assert named.x_train[0].tolist() == [[1, 5, 6]]
    assert named.classes == ()


@pytest.mark.parametrize("columns", [{"values": "x,x"}, {"values": "y,x", "label": "x"}])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_column_is_named_once(write, tmp_path, columns, ending):
    path = write("t.csv", "series,x,y\n1,2,3\n1,4,5\n2,6,7\n2,8,9\n")
    if ending == "parquet":
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("pyarrow", reason="what writes Parquet is not installed")
        pandas.read_csv(path).to_parquet(path := tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="columns: 'x' is named twice; accepted: once"):
        data.load(path, labels=False, columns=columns)


@pytest.mark.parametrize("scheme", ["http", "s3", "file"])
def test_nothing_is_fetched(scheme, monkeypatch):
    import socket

    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection"))
    for ending in ("csv", "parquet", "npz", "ts"):
        with pytest.raises(FileNotFoundError, match="no such file"):
            data.load(f"{scheme}://localhost/t.{ending}")


def test_rows_without_a_header_are_steps_until_it_is_said(write, told):
    rows = ["0.5,1,2", "0.25,3,4", "0.5,5,6"]
    assert data.load(write("t.csv", "\n".join(rows)), labels=False).x_train.shape == (1, 3, 3)
    assert "data: no header: a row per step (table='wide' says otherwise)" in told()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_blanks_between_cells(write, told, encoding):
    text = "  time   ax ay\n0.0 1.5  -2e-1\n\n 0.5 NaN 3\r\n1.0\t4 5 \n"
    path = write("t.csv", text.replace("\t", " ").encode(encoding))
    loaded = data.load(path, labels=False, missing="zero")
    assert loaded.x_train.tolist() == [[[1.5, 0, 4], [-0.2, 3, 5]]]
    assert (loaded.channel_names, loaded.rate) == (("ax", "ay"), 2)
    assert "data: separator: blanks" in told()
    many = write("m.csv", "a b c\n" + "1 2 3\n" * 30 + "1 2\n")
    with pytest.raises(ValueError, match="line 32 has 2 cells; accepted: 3, as the first line"):
        data.load(many, labels=False)


@pytest.mark.parametrize(
    ("stamps", "rate"),
    [
        (("12.01.2024", "13.01.2024", "14.01.2024"), 1 / 86400),
        (("01/12/2024", "01/13/2024", "01/14/2024"), 1 / 86400),
        (("31-01-2024 00:00", "01-02-2024 00:00"), 1 / 86400),
    ],
)
def test_dates_that_read_one_way_as_a_column(write, told, stamps, rate):
    text = "date,x\n" + "".join(f"{stamp},{n % 2}\n" for n, stamp in enumerate(stamps))
    loaded = data.load(write("t.csv", text), labels=False)
    assert loaded.rate == pytest.approx(rate)
    assert "data: time: date, dates that are not ISO" in told()


def test_what_was_left_out_is_named_where_nothing_remains(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="what writes Parquet is not installed")
    table = pandas.DataFrame({"x": [[1.0, 2.0]] * 2, "label": ["a", "b"]})
    table.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"no channels; left out: x \(text\); accepted: a column"):
        data.load(tmp_path / "t.parquet")


def test_the_first_column_of_a_wide_table_may_be_words_and_numbers(write):
    path = write("stages.csv", "1,5,6,7\n2,5,6,8\nW,5,7,9\n2,4,6,8\n")
    loaded = data.load(path, reading=data.Reading(table="wide"))
    assert loaded.classes == ("1", "2", "W")
    assert loaded.x_train.shape == (4, 1, 3)


def test_targets_of_a_wide_table_may_be_fractions(write):
    path = write("targets.csv", "0.5,5,6,7\n1.5,5,6,8\n2.5,5,7,9\n")
    loaded = data.load(path, reading=data.Reading(table="wide", task="regression"))
    assert loaded.y_train.tolist() == [0.5, 1.5, 2.5]
    assert loaded.x_train.shape == (3, 1, 3)
