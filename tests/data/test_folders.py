"""Folders with a file per recording: labels that some files lack, identifiers, archives' pairs."""

import numpy as np
import pytest

from tsssl_fast import data


def steps(*columns, header="time,x"):
    """A table of six steps; columns: a value for all of them, or one for each."""
    rows = [[str(c[t] if isinstance(c, (list, str)) else c) for c in columns] for t in range(6)]
    lines = [",".join([f"{t / 10}", *row]) for t, row in enumerate(rows)]
    return "\n".join([header, *lines]) + "\n"


def test_files_of_one_activity_and_files_of_several(write, tmp_path):
    ramp = [0, 1, 2, 3, 4, 5]
    write("walks/a.csv", steps(ramp, "sssswww", header="time,x,activity"))
    write("walks/b.csv", steps(ramp, "wwwwww", header="time,x,activity"))
    write("walks/c.csv", steps(ramp, header="time,x"))
    loaded = data.load(tmp_path / "walks", window="2", labels=False)
    assert loaded.classes == ("s", "w")
    assert loaded.y_train.tolist() == [0, 0, 1, 1, 1, 1, -1, -1, -1]
    assert loaded.ids_train[::3] == ("a@0", "b@0", "c@0")


@pytest.mark.parametrize("last", [steps([7] * 6, [""] * 6, header="time,x,label"), steps([7] * 6)])
def test_files_without_a_label_are_counted(write, tmp_path, told, last):
    for name, label in (("a", "sit"), ("b", "walk")):
        write(f"walks/{name}.csv", steps([1] * 6, [label] * 6, header="time,x,label"))
    write("walks/c.csv", last)
    loaded = data.load(tmp_path / "walks")
    assert loaded.classes == ("sit", "walk")
    assert loaded.y_train.tolist() == [0, 1, -1]
    assert "data: train split: 1 of 3 series have no label" in told()
    assert len(loaded.only_train(loaded.y_train >= 0).x_train) == 2


def test_a_whole_number_of_each_file_is_no_channel(write, tmp_path, told):
    for number, trial in enumerate((3, 3, 8)):
        columns = ([trial] * 6, [trial + 1] * 6, [number * t % 4 for t in range(6)])
        write(f"trials/{number}.csv", steps(*columns, header="time,trial,run,x"))
    loaded = data.load(tmp_path / "trials", labels=False)
    assert loaded.channel_names == ("x",)
    assert loaded.x_train[2].tolist() == [[0, 2, 0, 2, 0, 2]]
    assert loaded.groups.tolist() == [0, 0, 1]
    lines = told()
    assert "data: group: trial, a whole number constant within every file" in lines
    assert "data: left out: run (constant within every file)" in lines
    assert "data: channels of all files: x" in lines
    # What is named stands.
    named = data.load(tmp_path / "trials", labels=False, columns={"values": "trial,x"})
    assert named.channel_names == ("trial", "x")
    (tmp_path / "trials" / "0.csv").unlink()
    write("trials/1.csv", steps([0.5] * 6, [8] * 6, [2] * 6, header="time,trial,run,x"))
    same = data.load(tmp_path / "trials", labels=False)
    assert same.channel_names == ("trial", "x")


def test_folders_are_groups_beside_a_whole_number_of_each_file(write, tmp_path):
    for number, trial in enumerate((3, 4, 5)):
        text = steps([trial] * 6, [number] * 5 + [9], "abc"[number] * 6, header="time,n,x,label")
        write(f"trials/s{number // 2}/{number}.csv", text)
    loaded = data.load(tmp_path / "trials")
    assert loaded.channel_names == ("x",)
    assert loaded.groups.tolist() == [0, 0, 1]


def test_a_folder_of_an_archives_pair_keeps_its_test_split(write, tmp_path):
    head = "@problemName T\n@classLabel true a b\n@data\n"
    write("T/T_TRAIN.ts", head + "1,2:a\n3,4:b\n5,6:a\n")
    write("T/T_TEST.ts", head + "7,8:b\n")
    loaded = data.load(tmp_path / "T")
    assert (loaded.name, len(loaded.x_train), len(loaded.x_test)) == ("T", 3, 1)
    assert loaded.y_test.tolist() == [1]


def test_a_pair_has_the_name_of_its_folder(write, tmp_path):
    """By it a checkpoint's reading is found again."""
    write("gestures/G_TRAIN.csv", "1,2,3,a\n4,5,6,b\n")
    write("gestures/G_TEST.csv", "1,2,3,a\n4,5,6,b\n")
    reading = data.Reading(table="wide", columns={"label": "3"})
    assert data.load(tmp_path / "gestures", reading=reading).name == "gestures"


def test_a_number_that_says_the_folders_label_again_is_no_group(write, tmp_path):
    for number, folder in enumerate(("run", "run", "walk", "walk")):
        code = 1 if folder == "run" else 2
        text = steps([code] * 6, [number] * 5 + [9], header="time,activity_id,x")
        write(f"trials/{folder}/{number}.csv", text)
    loaded = data.load(tmp_path / "trials")
    assert loaded.channel_names == ("x",)
    assert loaded.classes == ("run", "walk")
    assert len(set(loaded.groups.tolist())) == 4


def wide(rows, names=(), steps=9, header=True):
    """A table with a row per series; names: of channels, () for one without."""
    columns = [f"{name}{t}" for name in (names or ("t",)) for t in range(steps)]
    lines = [",".join(["label", *columns])] if header else []
    values = [[f"{r + t / 8 + 0.01:g}" for t in range(len(columns))] for r in range(rows)]
    lines += [",".join([str(r % 2 + 1), *row]) for r, row in enumerate(values)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("names", [(), ("x_", "y_")])
def test_files_with_a_row_per_series(write, tmp_path, names):
    write("w/a.csv", wide(4, names))
    write("w/b.csv", wide(1, names))
    loaded = data.load(tmp_path / "w")
    assert loaded.x_train.shape == (5, len(names) or 1, 9)
    assert loaded.channel_names == tuple(name.strip("_") for name in names)
    assert loaded.ids_train == ("a/0", "a/1", "a/2", "a/3", "b")
    assert loaded.groups.tolist() == [0, 0, 0, 0, 1]
    assert loaded.y_train.tolist() == [0, 1, 0, 1, 0]


def test_a_row_alone_without_a_header_is_a_series(write, tmp_path, told):
    write("w/a.csv", wide(6, header=False))
    write("w/b.csv", wide(1, header=False))
    assert data.load(tmp_path / "w").x_train.shape == (7, 1, 9)
    assert "data: a row per series (table='long' says otherwise)" in told()


def test_files_of_two_forms_are_refused_with_what_makes_them_one(write, tmp_path):
    write("w/a.csv", wide(6))
    write("w/b.csv", steps([0, 1, 2, 4, 3, 5]))
    message = r"b\.csv: channels x; accepted: without names, as a\.csv, or all .* by table='wide'"
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path / "w", labels=False)


def test_files_of_other_channels_are_refused_with_the_way_to_name_them(write, tmp_path):
    ramp = [0, 1, 3, 2, 5, 4]
    write("w/a.csv", steps(ramp, ramp, header="time,x,y"))
    write("w/b.csv", steps(ramp, ramp, header="time,x,z"))
    with pytest.raises(ValueError, match=r"or those that both have by columns={'values': 'x,y'}"):
        data.load(tmp_path / "w", labels=False)
    named = data.load(tmp_path / "w", labels=False, columns={"values": "x"})
    assert named.x_train.shape == (2, 1, 6)


def test_what_is_written_beside_recordings_is_left_out(write, tmp_path, told):
    for name in "ab":
        write(f"w/{name}.csv", steps([0, 1, 3, 2, 5, 4]))
    write("w/README.txt", "Worn on the wrist.\n")
    assert len(data.load(tmp_path / "w", labels=False).x_train) == 2
    assert "data: left out: README.txt, beside .csv" in told()


def test_labels_that_are_python_objects_in_a_folder_of_arrays(write, tmp_path):
    (tmp_path / "w").mkdir()
    np.save(tmp_path / "w" / "X_train.npy", np.arange(24.0).reshape(4, 2, 3))
    np.save(tmp_path / "w" / "y_train.npy", np.array(["a", None, "b", 1], object))
    assert data.load(tmp_path / "w", labels=None).x_train.shape == (4, 2, 3)
    with pytest.raises(ValueError, match="array y_train holds Python objects, which are not unp"):
        data.load(tmp_path / "w")
    np.save(tmp_path / "w" / "X_train.npy", np.array([[[1]], None], object))
    with pytest.raises(ValueError, match="array X_train holds Python objects"):
        data.load(tmp_path / "w", labels=None)
