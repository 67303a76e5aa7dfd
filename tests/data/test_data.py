"""Readers of files and names: shapes, labels, errors."""

import re

import numpy as np
import pytest
import torch

from tsssl_fast import data

TS = """@problemName Toy
@timeStamps false
@missing false
@univariate false
@dimensions 2
@equalLength true
@seriesLength 3
@classLabel true up down
@data
1,2,3:4,5,6:up
3,2,1:6,5,4:down
"""


def arrays(**changes):
    rng = np.random.default_rng(0)
    content = {
        "X_train": rng.normal(size=(6, 2, 5)),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "X_test": rng.normal(size=(3, 2, 5)),
        "y_test": np.array([2, 1, 0]),
    } | changes
    return {key: value for key, value in content.items() if value is not None}


@pytest.fixture
def npz(tmp_path):
    def write(**changes):
        path = tmp_path / "toy.npz"
        np.savez(path, **arrays(**changes))
        return path

    return write


def test_npz(npz):
    given = arrays()
    loaded = data.load(npz(classes=np.array(["a", "b", "c"]), subject_train=[7, 7, 9, 9, 4, 4]))
    assert loaded.name == "toy"
    assert loaded.x_train.dtype == torch.float64
    assert loaded.x_train.numpy().tolist() == given["X_train"].tolist()
    assert loaded.y_train.tolist() == [0, 1, 2, 0, 1, 2]
    assert loaded.y_test.tolist() == [2, 1, 0]
    assert loaded.y_test.dtype == torch.int64
    assert loaded.classes == ("a", "b", "c")
    assert loaded.groups.tolist() == [1, 1, 2, 2, 0, 0]
    assert (loaded.channels, loaded.length) == (2, 5)


def test_labels_of_any_kind_become_indices(npz):
    loaded = data.load(
        npz(y_train=np.array(["b", "a", "c", "b", "a", "c"]), y_test=np.array(["c", "a", "b"]))
    )
    assert loaded.classes == ("a", "b", "c")
    assert loaded.y_train.tolist() == [1, 0, 2, 1, 0, 2]
    assert loaded.y_test.tolist() == [2, 0, 1]


def test_a_class_that_only_some_indices_use_keeps_its_name(npz):
    loaded = data.load(
        npz(
            y_train=np.array([0, 2, 2, 0, 2, 2]),
            y_test=np.array([2, 2, 0]),
            classes=np.array(["a", "b", "c"]),
        )
    )
    assert loaded.classes == ("a", "c")
    assert loaded.y_test.tolist() == [1, 1, 0]


def test_ts_pairs_train_with_test(tmp_path):
    (tmp_path / "Toy_TRAIN.ts").write_text(TS)
    (tmp_path / "Toy_TEST.ts").write_text(TS)
    for split in ("TRAIN", "TEST"):
        loaded = data.load(tmp_path / f"Toy_{split}.ts")
        assert loaded.name == "Toy"
        assert loaded.x_train.tolist() == [[[1, 2, 3], [4, 5, 6]], [[3, 2, 1], [6, 5, 4]]]
        assert loaded.classes == ("down", "up")
        assert loaded.y_train.tolist() == [1, 0]


def test_basic_motions_ships_with_aeon():
    loaded = data.load("BasicMotions")
    assert loaded.x_train.shape == loaded.x_test.shape == (40, 6, 100)
    assert loaded.classes == ("badminton", "running", "standing", "walking")
    assert loaded.y_train.bincount().tolist() == [10, 10, 10, 10]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": None, "y_test": None}, "no labels, no array y_train, y_test"),
        ({"y_train": np.full(6, np.nan)}, "no labels, y_train has NaN"),
        ({"X_test": None}, "no array X_test"),
        ({"y_train": np.zeros(5, int)}, r"y_train has shape \(5,\)"),
        ({"y_test": np.array([0, 1, 3])}, r"y_test has labels that y_train lacks: \[3\]"),
        ({"X_train": np.zeros((6, 5))}, r"X_train is float64 \(6, 5\); accepted: .*N, C, T"),
        ({"X_train": np.zeros((6, 2, 0))}, r"X_train is float64 \(6, 2, 0\)"),
        ({"X_train": np.full((6, 2, 5), "x")}, "X_train is <U1"),
        ({"X_test": np.zeros((3, 1, 5))}, r"X_test holds \(C, T\) = \(1, 5\)"),
        ({"X_train": np.full((6, 2, 5), np.nan)}, "X_train has 60 NaN; choose missing="),
        ({"X_train": np.full((6, 2, 5), np.inf)}, "X_train has infinite values"),
        ({"subject_train": [1, 2]}, "subject_train has 2 rows; accepted: 6, as X_train"),
        ({"X_test": None, "y_test": [1]}, "y_test, and no array X_test; accepted: both"),
        (
            {"X_train": None, "X_test": None, "y_test": None},
            "no array X_train or X; it holds: y_train; accepted: one of the two",
        ),
    ],
)
def test_bad_arrays(npz, changes, message):
    with pytest.raises(ValueError, match=message) as error:
        data.load(npz(**changes))
    assert str(error.value).startswith("data: ")


def test_unlabelled_series_are_for_pretraining(npz):
    loaded = data.load(npz(y_train=None, y_test=None), labels=False)
    assert loaded.classes == ()
    assert loaded.y_train.tolist() == [-1] * 6


def test_missing_values(npz):
    x = np.zeros((6, 2, 5))
    x[0, 0] = [np.nan, 1, np.nan, np.nan, 4]
    x[1, 1] = np.nan
    path = npz(X_train=x)
    assert data.load(path, missing="zero").x_train[0, 0].tolist() == [0, 1, 0, 0, 4]
    linear = data.load(path, missing="linear").x_train
    assert linear[0, 0].tolist() == [1, 1, 2, 3, 4]
    assert linear[1, 1].tolist() == [0] * 5
    with pytest.raises(ValueError, match="missing: 'mean'; accepted: raise, linear, forward"):
        data.load(path, missing="mean")


def test_truncated_files(npz, tmp_path):
    path = npz()
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"data: .*toy\.npz: not a complete \.npz file"):
            data.load(path)
    (tmp_path / "Toy_TRAIN.ts").write_text(TS)
    for size in (0, 30, TS.index("@data"), len(TS) - 8):
        (tmp_path / "Toy_TEST.ts").write_text(TS[:size])
        with pytest.raises(ValueError, match=r"data: .*Toy"):
            data.load(tmp_path / "Toy_TRAIN.ts")


@pytest.mark.parametrize("name", ["lost.npz", "Lost_TRAIN.ts", "lost.csv", "folder/Lost"])
def test_missing_files(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"data: .*no such file"):
        data.load(tmp_path / name)


def test_what_is_no_data_set(tmp_path):
    with pytest.raises(ValueError, match=r"data: 'BasicMotion': no file and no data set"):
        data.load("BasicMotion")
    (tmp_path / "notes.doc").write_text("x")
    with pytest.raises(ValueError, match="not a format that is read"):
        data.load(tmp_path / "notes.doc")


def test_scaling():
    x = torch.tensor([[[1.0, 3.0], [5.0, 5.0]], [[5.0, 7.0], [5.0, 5.0]]])
    standard = data.Scaling.fit(x)
    assert standard.shift.tolist() == [4, 5]
    assert standard.scale.tolist() == pytest.approx([5**0.5, 1])
    assert standard(x)[:, 1].tolist() == [[0, 0], [0, 0]]
    together = data.Scaling.fit(x, "scale", group=2)
    assert together.shift.tolist() == [0, 0]
    assert together.scale.tolist() == pytest.approx([((21 + 25) / 2) ** 0.5] * 2)
    assert torch.equal(data.Scaling.fit(x, "none")(x), x)
    with pytest.raises(ValueError, match="scale_group: 3"):
        data.Scaling.fit(x, group=3)
    with pytest.raises(ValueError, match="scaling: 'robust'"):
        data.Scaling.fit(x, "robust")
    with pytest.raises(ValueError, match=r"x: shape \(2, 3, 2\); accepted: \(N, 2, T\)"):
        standard(torch.zeros(2, 3, 2))


CSV = """series,time,label,split,x,y
a,2,up,train,3,6
a,1,up,train,2,5
b,1,down,train,1,
b,2,down,train,2,7
c,1,up,test,0,1
c,2,up,test,4,2
"""


def test_csv_with_both_splits(tmp_path):
    path = tmp_path / "toy.csv"
    path.write_text(CSV)
    with pytest.raises(ValueError, match="X_train has 1 NaN; choose missing="):
        data.load(path)
    loaded = data.load(path, missing="linear")
    assert loaded.x_train.tolist() == [[[2, 3], [5, 6]], [[1, 2], [7, 7]]]
    assert loaded.x_test.tolist() == [[[0, 4], [1, 2]]]
    assert loaded.classes == ("down", "up")
    assert loaded.y_train.tolist() == [1, 0]
    assert loaded.groups is None


def test_csv_pair_with_named_columns(tmp_path):
    text = "id;who;kind;a;b".replace(";", ",") + "\n1,p,u,1,9\n1,p,u,2,8\n2,q,v,3,7\n2,q,v,4,6\n"
    for split in ("TRAIN", "TEST"):
        (tmp_path / f"Toy_{split}.csv").write_text(text)
    columns = {"series": "id", "label": "kind", "group": "who", "values": "b,a"}
    loaded = data.load(tmp_path / "Toy_TRAIN.csv", columns=columns)
    assert loaded.x_train.tolist() == [[[9, 8], [1, 2]], [[7, 6], [3, 4]]]
    assert loaded.groups.tolist() == [0, 1]
    assert loaded.name == "Toy"


@pytest.mark.parametrize(
    ("columns", "change", "message"),
    [
        ({"label": "class"}, None, "no column 'class'; accepted: series, time, label"),
        ({"values": "x,z"}, None, "no column 'z'"),
        ({"lable": "label"}, None, "columns: role: 'lable'; accepted: series, time"),
        ({}, ("series,time", "key,time"), "column 'key' holds 'a' in line 2; accepted: numbers"),
        ({}, ("c,2,up,test", "c,2,up,exam"), "split 'exam'; accepted: train, test"),
        ({}, ("a,1,up", "a,1,down"), "series 'a' has several values in column 'label'"),
        ({}, ("a,1,up,train,2,5", "a,1,up,train,2"), "line 3 has 5 cells; accepted: 6"),
        ({}, ("a,1,up,train,2,5", "a,1,up,train,two,5"), "could not convert string to float"),
    ],
)
def test_bad_csv(tmp_path, columns, change, message):
    path = tmp_path / "toy.csv"
    path.write_text(CSV.replace(*change) if change else CSV)
    with pytest.raises(ValueError, match=message):
        data.load(path, columns=columns, missing="zero")


@pytest.mark.parametrize(
    ("cells", "role"),
    [
        (("2026-01-01 10:00:00", "2026-01-01 10:00:01"), "'time': 'zeit'}, or"),
        (("10:00:00", "10:00:01"), "'time': 'zeit'}, or"),
        (("", "10:00:00"), "'time': 'zeit'}, or"),
        (("walk", "run"), "'series': 'zeit'} or label, or"),
        (("2048", "ERR"), "'series': 'zeit'} or label, or"),
    ],
)
def test_a_column_of_text_is_named_for_what_it_looks_like(tmp_path, cells, role):
    path = tmp_path / "toy.csv"
    path.write_text("zeit;x\n" + "".join(f"{cell};{i},5\n" for i, cell in enumerate(cells)))
    with pytest.raises(ValueError, match=re.escape(f"columns={{{role}")):
        data.load(path)


def test_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "toy.csv"
    path.write_text("series,split,label,x,x\n1,train,a,1,2\n2,test,a,3,4\n")
    with pytest.raises(ValueError, match="several columns 'x'; accepted: one of a name"):
        data.load(path)


def test_columns_are_of_csv_files(npz):
    with pytest.raises(ValueError, match=r"columns: .* has none"):
        data.load(npz(), columns={"label": "x"})


ARFF = """@relation Toy
@attribute series relational
  @attribute t0 numeric
  @attribute t1 numeric
  @attribute t2 numeric
@end series
@attribute classAttribute {up,down}
@data
'1,2,3\\n4,5,6',up
'3,2,1\\n6,5,4',down
"""


def test_arff(tmp_path):
    for split in ("TRAIN", "TEST"):
        (tmp_path / f"Toy_{split}.arff").write_text(ARFF)
    loaded = data.load(tmp_path / "Toy_TRAIN.arff")
    assert loaded.x_train.tolist() == [[[1, 2, 3], [4, 5, 6]], [[3, 2, 1], [6, 5, 4]]]
    assert loaded.classes == ("down", "up")
    (tmp_path / "Toy_TEST.arff").write_text("@relation Toy\n@data\n'1,x\n")
    with pytest.raises(ValueError, match=r"Toy_TEST\.arff: line 3: accepted"):
        data.load(tmp_path / "Toy_TRAIN.arff")


def test_byte_strings_are_decoded(npz):
    labels = np.array([b"run", b"walk", b"run", b"walk", b"run", b"walk"])
    loaded = data.load(npz(y_train=labels, y_test=labels[:3]))
    assert loaded.classes == ("run", "walk")
    named = data.load(npz(classes=np.array([b"a", b"b", b"c"])))
    assert named.classes == ("a", "b", "c")


RAGGED = """@problemName Toy
@timeStamps false
@missing false
@univariate true
@equalLength false
@classLabel true up down
@data
{rows}
"""


def test_unequal_lengths(tmp_path):
    rows = {"TRAIN": "1,2,3:up\n5,6,7,8,9:down", "TEST": "1,3:up\n1,2,3,4,5,6,7:down"}
    for split, text in rows.items():
        (tmp_path / f"Toy_{split}.ts").write_text(RAGGED.format(rows=text))
    path = tmp_path / "Toy_TRAIN.ts"
    with pytest.raises(ValueError, match="X_train holds series of unequal length, 3 to 5 steps"):
        data.load(path)
    resampled = data.load(path, unequal="resample")
    assert resampled.x_train[:, 0].tolist() == [[1, 1.5, 2, 2.5, 3], [5, 6, 7, 8, 9]]
    assert resampled.x_test[0, 0].tolist() == [1, 1.5, 2, 2.5, 3]
    padded = data.load(path, unequal="pad")
    assert padded.x_train[0, 0].tolist() == [1, 2, 3, 3, 3]
    assert padded.x_test[:, 0].tolist() == [[1, 3, 3, 3, 3], [1, 2, 3, 4, 5]]
    truncated = data.load(path, unequal="truncate")
    assert truncated.x_train[:, 0].tolist() == [[1, 2], [5, 6]]
    assert truncated.x_test[:, 0].tolist() == [[1, 3], [1, 2]]
    with pytest.raises(ValueError, match="unequal: 'cut'; accepted: raise, resample"):
        data.load(path, unequal="cut")


def test_holes_are_filled_within_a_series(npz):
    x = np.full((6, 2, 5), np.nan)
    x[:, 0] = [np.nan, 1, np.nan, np.nan, 4]
    x[:, 1] = np.arange(5)
    x[3] += 100  # nothing of another series gets in
    path = npz(X_train=x)
    filled = data.load(path, missing="forward_backward").x_train
    assert filled[0, 0].tolist() == [1, 1, 1, 1, 4]
    assert filled[3, 0].tolist() == [101, 101, 101, 101, 104]
