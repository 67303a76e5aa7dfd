"""Archives, arrays, folders and labels: what was once read wrongly or refused."""

import numpy as np
import pytest
import torch

from tsssl_fast import data

STAMPED = """# Gerät 1
@problemName Stamped
@timeStamps true
@missing true
@univariate false
@classLabel true Up down
@data
(0,-7),(1,1.5e-3),(2,+4):(0,1),(1,?),(2,-0.5):Up
(0,1),(1,2),(2,3):(0,4),(1,5),(2,6):down
"""


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_time_stamps_signs_and_exponents_of_ts(write, encoding):
    path = write("Stamped.TS", STAMPED.encode(encoding))
    loaded = data.load(path, missing="zero")
    assert loaded.x_train.tolist() == [[[-7, 0.0015, 4], [1, 0, -0.5]], [[1, 2, 3], [4, 5, 6]]]
    assert loaded.classes == ("Up", "down")
    assert loaded.rate == 1


UNIVARIATE = """@problemName Stamped
@timeStamps true
@missing false
@univariate true
@equalLength true
@classLabel true a b
@data
(0,-1.5),(1,2.5e-3),(2,-3.5):a
(0,4),(1,-5),(2,6):b
"""


def test_time_stamps_of_univariate_ts(write):
    loaded = data.load(write("Stamped.ts", UNIVARIATE))
    assert loaded.x_train.tolist() == [[[-1.5, 0.0025, -3.5]], [[4, -5, 6]]]
    assert loaded.y_train.tolist() == [0, 1]
    assert loaded.classes == ("a", "b")
    assert (loaded.channels, loaded.rate) == (1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("(2,3):(0,4)", "(2,3:(0,4)"), r"line 9: .*accepted: \(time,value\)"),
        (("(0,4),(1,5)", "(0,4),(2,5)"), "line 9: channels with different time stamps"),
        ((":down", ":sideways"), "line 9: label 'sideways'; accepted: Up, down"),
        (("(1,5)", "(1,five)"), "line 9: could not convert string to float: 'five'"),
        (("@data", "@datum"), "line 8: .*accepted: @tag or @data"),
    ],
)
def test_bad_ts(write, change, message):
    with pytest.raises(ValueError, match=message):
        data.load(write("Bad.ts", STAMPED.replace(*change)), missing="zero")


def test_targets_of_ts_and_series_of_tsf(write):
    text = "@problemName T\n@targetLabel true\n@data\n1,2:3,4:0.25\n5,6:7,8:-1e1\n"
    loaded = data.load(write("T.ts", text))
    assert loaded.regression
    assert loaded.y_train.tolist() == [0.25, -10]
    assert loaded.classes == ()
    text = (
        "@relation T\n@attribute series_name string\n@attribute start date\n@frequency daily\n"
        "@data\nT1:1979-01-01 00-00-00:1,2,?\nT2:1979-01-01 00-00-00:4,5\n"
    )
    loaded = data.load(write("T.tsf", text), labels=False, missing="linear", unequal="pad")
    assert loaded.x_train.tolist() == [[[1, 2, 2]], [[4, 5, 5]]]
    assert loaded.ids_train == ("T1", "T2")
    assert loaded.lengths_train.tolist() == [3, 2]


def test_a_lone_number_is_not_repeated_along_a_row_of_arff(write):
    text = "@relation T\n@attribute a numeric\n@attribute b numeric\n@attribute c {u,v}\n@data\n"
    loaded = data.load(write("T.arff", text + "1,2,u\n3,4,v\n"))
    assert loaded.x_train.tolist() == [[[1, 2]], [[3, 4]]]
    with pytest.raises(ValueError, match=r"line 7: \(C, T\) = \(1, 1\); accepted: \(1, 2\)"):
        data.load(write("T.arff", text + "1,2,u\n3,v\n"))


def test_series_without_labels_pre_train_and_are_counted(write, told):
    text = "series,label,x\n1,a,1\n1,a,2\n2,,3\n2,,4\n3,b,5\n3,b,6\n"
    loaded = data.load(write("t.csv", text))
    assert loaded.y_train.tolist() == [0, -1, 1]
    assert loaded.classes == ("a", "b")
    assert "data: train split: 1 of 3 series have no label" in told()


def test_labelled_keeps_the_series_that_have_a_label(write, told):
    rows = {"1": ("train", "p", "a", 1, 2), "2": ("train", "q", "", 3, 4)}
    rows |= {"3": ("train", "q", "b", 3, 5), "4": ("test", "r", "a", 5, 6)}
    rows |= {"5": ("test", "r", "?", 7, 8)}
    lines = ["series,split,subject,label,time,x"]
    for name, (split, subject, label, *values) in rows.items():
        lines += [f"{name},{split},{subject},{label},{t},{x}" for t, x in enumerate(values)]
    loaded = data.load(write("t.csv", "\n".join(lines)))
    assert (len(loaded.x_train), len(loaded.x_test)) == (3, 2)
    assert "data: train split: 1 of 3 series have no label" in told()
    assert "data: test split: 1 of 2 series have no label" in told()
    found = loaded.labelled()
    assert found.x_train.tolist() == [[[1, 2]], [[3, 5]]]
    assert found.y_train.tolist() == [0, 1]
    assert found.groups.tolist() == [0, 1]
    assert (found.ids_train, found.ids_test) == (("1", "3"), ("4",))
    assert (found.x_test.tolist(), found.y_test.tolist()) == ([[[5, 6]]], [0])
    assert found.labelled() is found
    table = "\n".join(line for line in lines if line[:2] not in ("4,", "1,", "3,"))
    nothing = data.load(write("n.csv", table), labels=False)
    with pytest.raises(ValueError, match="n: no labels in the train split"):
        nothing.labelled()


@pytest.mark.parametrize(
    ("y", "classes", "positions"),
    [
        ([0, -1, 1, 2], ("0", "1", "2"), [0, -1, 1, 2]),
        ([1, -1, 2, 1], ("1", "2"), [0, -1, 1, 0]),
        ([-1, 1, 1, -1], ("-1", "1"), [0, 1, 1, 0]),
        ([-1, 4, 9, 4], ("-1", "4", "9"), [0, 1, 2, 1]),
        ([0.5, 1.5, 0.5, np.nan], ("0.5", "1.5"), [0, 1, 0, -1]),
        (["10", "9", "", "10"], ("9", "10"), [1, 0, -1, 1]),
        (["0", "-1", "1", "0"], ("0", "1"), [0, -1, 1, 0]),
        (["1", "-1", "null", "1"], ("-1", "1"), [1, 0, -1, 1]),
        (["None", "NA", "run", "None"], ("None", "run"), [0, -1, 1, 0]),
        ([True, False, True, True], ("False", "True"), [1, 0, 1, 1]),
    ],
)
def test_names_of_classes_and_what_is_no_label(tmp_path, y, classes, positions):
    np.savez(tmp_path / "t.npz", X=np.zeros((4, 1, 3)), y=np.array(y))
    loaded = data.load(tmp_path / "t.npz")
    assert loaded.classes == classes
    assert loaded.y_train.tolist() == positions
    assert not loaded.regression


def test_minus_one_is_a_class_where_a_file_declares_it(write, told):
    rows = "1,2:-1\n3,4:0\n5,6:1\n"
    loaded = data.load(write("T.ts", f"@problemName T\n@classLabel true -1 0 1\n@data\n{rows}"))
    assert loaded.classes == ("-1", "0", "1")
    table = "series,x,label\n" + "".join(f"{n},{t},{n - 1}\n" for n in range(3) for t in range(2))
    loaded = data.load(write("t.csv", table))
    assert loaded.classes == ("0", "1")
    assert loaded.y_train.tolist() == [-1, 0, 1]
    assert "data: train split: 1 of 3 series have no label" in told()


def test_no_label_can_be_named(tmp_path):
    np.savez(tmp_path / "t.npz", X=np.zeros((4, 1, 3)), y=np.array([0, -1, 1, 7]))
    assert data.load(tmp_path / "t.npz", no_label="7").y_train.tolist() == [1, 0, 2, -1]
    assert data.load(tmp_path / "t.npz", no_label="").classes == ("-1", "0", "1", "7")


def test_targets(tmp_path):
    np.savez(tmp_path / "t.npz", X=np.zeros((4, 1, 3)), y=np.array([0.5, 1.25, np.nan, 3]))
    loaded = data.load(tmp_path / "t.npz")
    assert loaded.regression
    assert loaded.classes == ()
    assert loaded.y_train.tolist() == pytest.approx([0.5, 1.25, np.nan, 3], nan_ok=True)
    assert data.load(tmp_path / "t.npz", task="classification").classes == ("0.5", "1.25", "3.0")
    np.savez(tmp_path / "t.npz", X=np.zeros((3, 1, 3)), y=np.array(["a", "b", "c"]))
    with pytest.raises(ValueError, match="labels are no numbers"):
        data.load(tmp_path / "t.npz", task="regression")


def test_pre_training_reads_neither_test_split_nor_labels(tmp_path):
    x = np.zeros((4, 1, 3))
    for arrays in (
        {"X_train": x},
        {"X_train": x, "y_train": np.array([0, 1, 0, 1]), "X_test": x, "y_test": np.arange(4)},
        {"X_train": x, "y_train": np.full(4, np.nan)},
        {"X_train": x, "y_train": np.array([0.1, 0.2, 0.3, 0.4])},
    ):
        np.savez(tmp_path / "t.npz", **arrays)
        assert data.load(tmp_path / "t.npz", labels=False).x_train.shape == (4, 1, 3)


def test_layouts(tmp_path, told):
    x = np.arange(24.0).reshape(2, 4, 3)
    np.save(tmp_path / "t.npy", x)
    assert data.load(tmp_path / "t.npy", labels=False).x_train.shape == (2, 4, 3)
    assert any("4 channels of 3 steps; where it is (N, T, C), say" in line for line in told())
    turned = data.load(tmp_path / "t.npy", labels=False, layout="NTC")
    assert turned.x_train.tolist() == x.transpose(0, 2, 1).tolist()
    np.save(tmp_path / "t.npy", x[0])
    for layout, shape in (("NT", (4, 1, 3)), ("CT", (1, 4, 3)), ("TC", (1, 3, 4))):
        loaded = data.load(tmp_path / "t.npy", labels=False, layout=layout)
        assert loaded.x_train.shape == shape


def test_tensors_and_nothing_else(tmp_path):
    x = torch.arange(12.0).reshape(2, 2, 3)
    torch.save({"samples": x, "labels": torch.tensor([1, 0])}, tmp_path / "t.pt")
    loaded = data.load(tmp_path / "t.pt")
    assert torch.equal(loaded.x_train, x)
    assert loaded.y_train.tolist() == [1, 0]
    torch.save(x, tmp_path / "t.pt")
    assert torch.equal(data.load(tmp_path / "t.pt", labels=False).x_train, x)
    torch.save({"X": print}, tmp_path / "t.pt")
    with pytest.raises(ValueError, match="not a file of tensors alone"):
        data.load(tmp_path / "t.pt")
    np.save(tmp_path / "t.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"array X holds Python objects, which are not"):
        data.load(tmp_path / "t.npy")


def test_an_array_that_promises_more_than_its_file_has(tmp_path):
    import io
    import zipfile

    header = io.BytesIO()
    described = {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**4, 10)}
    np.lib.format.write_array_header_1_0(header, described)
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("X_train.npy", header.getvalue() + bytes(80))
    with pytest.raises(
        ValueError, match=r"not a complete .npz file .an array .10000000, 10000, 10"
    ):
        data.load(tmp_path / "t.npz")


def test_files_that_unpack_to_more_than_the_memory(tmp_path, monkeypatch):
    import zipfile

    torch.save({"X": torch.zeros(50, 2, 30)}, tmp_path / "whole.pt")
    with (
        zipfile.ZipFile(tmp_path / "whole.pt") as whole,
        zipfile.ZipFile(tmp_path / "t.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    np.savez_compressed(tmp_path / "t.npz", X=np.zeros((50, 2, 30)))
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow, which is not installed")
    pandas.DataFrame({"x": np.zeros(2000)}).to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr("tsssl_fast.data.stored.memory", lambda: 10_000)
    for name in ("t.pt", "t.npz", "t.parquet"):
        with pytest.raises(ValueError, match=rf"{name}: .*unpacked .* holds .* GB; accepted: this"):
            data.load(tmp_path / name, labels=False)


def test_tables_in_a_parquet_file(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow, which is not installed")
    table = pandas.DataFrame({"series": [1, 1, 2, 2], "label": list("aabb"), "x": [1.0, 2, 3, 4]})
    table.to_parquet(tmp_path / "t.parquet")
    loaded = data.load(tmp_path / "t.parquet")
    assert loaded.x_train.tolist() == [[[1, 2]], [[3, 4]]]
    assert loaded.classes == ("a", "b")


def test_a_folder_of_recordings(write, tmp_path, told):
    for split, kinds in (("train", "ab"), ("test", "ab")):
        for kind in kinds:
            for number in (1, 2):
                text = "time,x\n" + "".join(f"{t / 10},{t + number}\n" for t in range(6))
                write(f"phone/{split}/{kind}/{number}.csv", text)
    loaded = data.load(tmp_path / "phone")
    assert loaded.classes == ("a", "b")
    assert loaded.ids_train == ("a/1", "a/2", "b/1", "b/2")
    assert loaded.x_test[1].tolist() == [[2, 3, 4, 5, 6, 7]]
    assert loaded.rate == pytest.approx(10)
    assert "data: label: the folder of each file" in told()
    write("phone/train/a/._1.csv", b"\0\5\x16\7")  # what an archive of another system leaves
    write("phone/.cache/b/1.csv", "time,y\n0,1\n1,2\n")
    assert len(data.load(tmp_path / "phone").x_train) == 4
    write("phone/train/a/3.csv", "time,y\n0,1\n1,2\n")
    with pytest.raises(ValueError, match=r"3\.csv: channels y; accepted: x"):
        data.load(tmp_path / "phone")
