"""Tables: every kind that was once read wrongly or refused."""

import numpy as np
import pytest
from cases.tables import long_table

from tsssl_fast import data


def test_subject_and_clock_are_no_channels(write, told):
    loaded = data.load(write("phone.csv", long_table()))
    assert loaded.channel_names == ("gx", "gy")
    assert loaded.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert loaded.rate == pytest.approx(25)
    assert loaded.ids_train == tuple(f"r{number}" for number in range(6))
    assert len(loaded.x_test) == 0
    assert "data: time: time_s in s (by its name)" in told()
    assert "data: channels: gx, gy; series: series; label: label; group: subject" in told()


def test_a_clock_and_an_identifier_are_known_by_their_values(write, told):
    text = long_table().replace("subject", "who").replace("time_s", "elapsed")
    loaded = data.load(write("phone.csv", text))
    assert loaded.channel_names == ("gx", "gy")
    assert loaded.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert loaded.rate == pytest.approx(25)
    assert any("elapsed (rises in equal steps: a time)" in line for line in told())
    # What is named stands.
    named = data.load(write("phone.csv", text), columns={"values": "who,gx"})
    assert named.channel_names == ("who", "gx")


ELAPSED = (0, 0.019, 0.041, 0.060, 0.081, 0.100)
CONTROL = (0, 0.019, 0.021, 0.060, 0.081, 0.100)  # rises, in steps of 2 to 39 ms


@pytest.mark.parametrize(
    ("columns", "channels"),
    [
        ((ELAPSED, ELAPSED), ("x",)),
        ((ELAPSED, tuple(2 * t for t in ELAPSED)), ("elapsed", "x")),  # not near to each other
        ((ELAPSED, CONTROL), ("elapsed", "x")),
        ((CONTROL, CONTROL), ("elapsed", "x")),
        ((ELAPSED, (*ELAPSED[:5], 0.081)), ("elapsed", "x")),  # stands still
        ((ELAPSED[:4], ELAPSED[:4]), ("elapsed", "x")),  # too few to tell
    ],
)
def test_near_equal_steps_in_every_series_are_a_time(write, told, columns, channels):
    lines = ["id,elapsed,x"]
    for number, stamps in enumerate(columns):
        lines += [f"{number},{t:.3f},{5 * n % 3}" for n, t in enumerate(stamps)]
    loaded = data.load(write("t.csv", "\n".join(lines)), labels=False)
    assert loaded.channel_names == channels
    assert loaded.x_train[1, -1].tolist() == [5 * n % 3 for n in range(len(columns[1]))]
    left = "; left out: elapsed (rises in equal steps: a time)" if channels == ("x",) else ""
    assert f"data: channels: {', '.join(channels)}; series: id{left}" in told()
    if left:
        assert loaded.rate == pytest.approx(1 / 0.019)
        assert any("but steps are unequal" in line for line in told())
    else:
        assert loaded.rate is None
        assert loaded.x_train[0, 0].tolist() == pytest.approx(columns[0])


@pytest.mark.parametrize(
    ("header", "cells", "channels", "groups", "line"),
    [
        ("height", ("180", "180", "165"), (), [1, 1, 0], "x; series: id; group: height"),
        (
            *("subject,height", ("a,180", "b,180", "b,165"), (), [0, 1, 1]),
            "x; series: id; group: subject; left out: height (constant within every series)",
        ),
        ("height", ("1.8", "1.8", "1.65"), ("height",), None, "height, x; series: id"),
        ("height", ("180", "180", "180"), ("height",), None, "height, x; series: id"),
    ],
)
def test_whole_numbers_of_a_series_are_groups(write, told, header, cells, channels, groups, line):
    rows = [f"{n},{cell},{n + t / 2}" for n, cell in enumerate(cells) for t in range(4)]
    loaded = data.load(write("t.csv", "\n".join([f"id,{header},x", *rows])), labels=False)
    assert loaded.channel_names == (*channels, "x")
    assert (None if loaded.groups is None else loaded.groups.tolist()) == groups
    assert f"data: channels: {line}" in told()
    named = any("group: height, a whole number constant within every" in note for note in told())
    assert named == line.endswith("group: height")


def test_an_index_is_no_channel_and_repeated_names_are_refused(write, told):
    lines = ["series,split,label,time,acc", "1,train,a,0,1", "1,train,a,1,2", "2,test,a,0,5"]
    lines += ["2,test,a,1,6"]
    indexed = [f"{'' if n == 0 else n - 1},{line}" for n, line in enumerate(lines)]
    loaded = data.load(write("indexed.csv", "\n".join(indexed)))
    assert loaded.x_train.tolist() == [[[1, 2]]]
    assert loaded.x_test.tolist() == [[[5, 6]]]
    assert "data: the column without a name is an index and no channel" in told()
    twice = "\n".join([lines[0] + ",acc", *(line + ",9" for line in lines[1:])])
    with pytest.raises(ValueError, match="several columns 'acc'; accepted: one of a name"):
        data.load(write("twice.csv", twice))


def test_dates_semicolons_markers_and_blank_lines(write, told):
    text = (
        "series;split;label;when;x;y\n"
        "s1;train;walk;2024-01-01T00:00:00.00;0,5;1,5\n"
        "s1;train;walk;2024-01-01T00:00:00.25;NA ;-2\n"
        "s2;test;walk;2024-01-01T00:01:00.25;?;null\ns2;test;walk;2024-01-01T00:01:00.00; 3;4\n\n"
    )
    path = write("dates.csv", text)
    loaded = data.load(path, missing="linear", columns={"time": "when"})
    assert loaded.x_train.tolist() == [[[0.5, 0.5], [1.5, -2]]]
    assert loaded.x_test.tolist() == [[[3, 3], [4, 4]]]  # sorted by time
    assert loaded.rate == 4
    for line in ("separator: semicolon", "decimal mark: comma", "time: when, ISO dates"):
        assert f"data: {line}" in told()
    with pytest.raises(ValueError, match="X_train has 1 NaN; choose missing="):
        data.load(path, columns={"time": "when"})
    both = text.replace("2024-01-01T", "01/02/2024 ")
    with pytest.raises(ValueError, match="which is two dates; accepted: ISO 8601"):
        data.load(write("dates.csv", both), columns={"time": "when"}, missing="zero")


SEMICOLONS = """series;split;label;time;x;y
s1;train;walk;2024-01-01 00:00:00.0;0.5;1.5
s1;train;walk;2024-01-01 00:00:00.5;0.25;-2
s2;train;run;2024-01-01 00:01:00.0;NA;1
s2;train;run;2024-01-01 00:01:00.5;4;null
s3;test;walk;2024-01-01 00:02:00.0;1; 2
s3;test;walk;2024-01-01 00:02:00.5;3;?

"""
NAN = float("nan")


def test_dates_and_semicolons_with_a_decimal_point(write):
    path = write("dates.csv", SEMICOLONS)
    read, rate = data.prepared(path, data.Reading())
    train, test = (np.stack(list(read.splits[split].x)) for split in ("train", "test"))
    expected = [[[0.5, 0.25], [1.5, -2]], [[NAN, 4], [1, NAN]]]
    assert np.array_equal(train, expected, equal_nan=True)
    assert np.array_equal(test, [[[1, 3], [2, NAN]]], equal_nan=True)
    assert rate == 2
    assert read.channels == ("x", "y")
    assert "separator: semicolon" in read.notes
    assert "time: time, ISO dates" in read.notes
    assert not any("decimal" in note for note in read.notes)
    with pytest.raises(ValueError, match="X_train has 2 NaN; choose missing="):
        data.load(path)


@pytest.mark.parametrize(
    ("missing", "train", "test"),
    [
        ("linear", [[4, 4], [1, 1]], [[1, 3], [2, 2]]),
        ("forward_backward", [[4, 4], [1, 1]], [[1, 3], [2, 2]]),
        ("zero", [[0, 4], [1, 0]], [[1, 3], [2, 0]]),
    ],
)
def test_missing_rules_the_markers_of_none(write, missing, train, test):
    loaded = data.load(write("dates.csv", SEMICOLONS), missing=missing)
    assert loaded.x_train.tolist() == [[[0.5, 0.25], [1.5, -2]], train]
    assert loaded.x_test.tolist() == [test]
    assert loaded.classes == ("run", "walk")
    assert (loaded.y_train.tolist(), loaded.y_test.tolist()) == ([1, 0], [1])


NS = 1_700_000_000_000_000_000


@pytest.mark.parametrize(
    ("header", "stamps", "line"),
    [
        ("timestamp", [str(NS + 40_000_000 * t) for t in range(6)], "in ns (since 1970, by its si"),
        ("at_ns", [str(NS + 40_000_000 * t) for t in range(6)], "at_ns in ns (by its name)"),
        ("time", [f"23:59:59.{92 + 4 * t}" for t in (0, 1)] + ["0:00:00.00"], "time, times of day"),
        (
            *("Date,time", ["2024-01-31,23:59:59.96", "2024-02-01,00:00:00.00"]),
            "time: Date and time, ISO dates",
        ),
        ("time", [f"2024-01-01 00:00:00.0{4 * t}+05:30" for t in range(3)], "time, ISO dates"),
    ],
)
def test_time_stamps_as_they_are_written(write, told, header, stamps, line):
    lines = [f"{stamp},{3 * n % 5}" for n, stamp in enumerate(stamps)]
    loaded = data.load(write("t.csv", "\n".join([f"{header},x", *lines])), labels=False)
    assert loaded.channel_names == ("x",)
    assert loaded.rate == pytest.approx(25)
    assert loaded.x_train[0, 0].tolist() == [3 * n % 5 for n in range(len(stamps))]
    assert any(line in each for each in told())


def test_rows_in_another_order_than_their_time_are_told(write, told):
    loaded = data.load(write("t.csv", "id,t,x\n" + "1,0,5\n1,2,7\n1,1,6\n"), labels=False)
    assert loaded.x_train.tolist() == [[[5, 6, 7]]]
    assert "data: 1 rows are earlier than the row before: sorted by t" in told()


def test_markers_of_none_excel_and_an_index_that_was_read_and_written(write, told):
    cells = ("n/a", "<NA>", "-nan", "-1.#IND", "5")
    text = "sep=;\nUnnamed: 0;id;x\n" + "".join(f"{n};1;{c}\n" for n, c in enumerate(cells))
    loaded = data.load(write("t.csv", text), labels=False, missing="zero")
    assert loaded.x_train.tolist() == [[[0, 0, 0, 0, 5]]]
    assert loaded.channel_names == ("x",)
    assert "data: the column without a name is an index and no channel" in told()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings_of_tables(write, encoding):
    text = "series,label,x\n1,größer,1\n1,größer,2\n2,b,3\n2,b,4\n"
    loaded = data.load(write("t.csv", text.encode(encoding)))
    assert loaded.classes == ("b", "größer")
    assert loaded.x_train.tolist() == [[[1, 2]], [[3, 4]]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("series,label,x\n1,a,1\n1,a\n", "line 3 has 2 cells; accepted: 3"),
        ('series,label,x\n1,"a",1\n1,"a",2,3\n', "line 3 has 4 cells; accepted: 3"),
        ("series,label,x\n", "no rows"),
        ("", "no rows"),
        ("series,label,x\n1,a,1\n1,a,zwei\n1,a,3\n", "'zwei' in column 'x', line 3"),
        ("series,label,x\n1,a,1\n\n\n1,a,2\n1,a,3\n1,a,4_5\n", "'4_5' in column 'x', line 7"),
        ("series,label,x\n1,a,1\n\n,a,2\n", "column 'series' is empty in line 4; accepted: a na"),
        ("time,x\n0,1\n,2\n", "column 'time' is empty in line 3; accepted: a time in each row"),
        ("time,x\n0,1\n\n1,-inf\n", "column 'x' is infinite in line 4; accepted: finite numbers"),
        ("time,x\ns,m\n0,1\n", "column 'time' holds 's' in line 2; accepted: a number or a date"),
        ("id,x\n1,NA\n1,one\n", "column 'x' holds 'one' in line 3; accepted: numbers; say"),
        ("series,label,x\n1,a,9007199254740993\n", r"whole numbers above 2\^53"),
        ("series,label\n1,a\n1,a\n", "no channels"),
        ("series,subject,x\n1,0,1\n1,.,2\n", "values in column 'subject': ., 0; accepted: one"),
        ("series,split,x\n1,test,1\n1,test,2\n", "no rows for train; accepted: one or more"),
        ("series,label,x,\n1,a,1,5\n", "column 4 has no name"),
        ("\0\0\0", "holds zero bytes"),
    ],
)
def test_bad_tables(write, text, message):
    with pytest.raises(ValueError, match=message) as error:
        data.load(write("t.csv", text))
    assert str(error.value).startswith("data: ")


def test_archive_of_ucr_and_other_wide_tables(write, told):
    rows = "1\t0.5\t-1\tNaN\n-1\t2\t3\t4\n1\t5\t6\t7\n-1\t8\t9\t1\n"
    write("Toy_TRAIN.tsv", rows)
    write("Toy_TEST.tsv", rows)
    loaded = data.load(write("Toy_TRAIN.tsv", rows), unequal="pad")
    assert loaded.name == "Toy"
    assert loaded.classes == ("-1", "1")
    assert loaded.x_train[:2, 0].tolist() == [[0.5, -1, -1], [2, 3, 4]]
    assert loaded.lengths_train.tolist() == [2, 3, 3, 3]
    assert any("a row per series" in line for line in told())
    header = [f"{c}_{t}" for c in "xy" for t in range(8)]
    text = ",".join(["label", *header]) + "\n"
    text += "\n".join(",".join([kind, *map(str, range(16))]) for kind in "ab")
    loaded = data.load(write("wide.csv", text))
    assert loaded.channel_names == ("x", "y")
    assert loaded.x_train[0].tolist() == [list(range(8)), list(range(8, 16))]
    # What `DataFrame(array).to_csv()` writes: its header is 0, 1, 2 ...
    text = "," + ",".join(map(str, range(9))) + "\n0," + ",".join("9" * 9) + "\n"
    loaded = data.load(write("frame.csv", text), labels=False, table="wide")
    assert loaded.x_train.tolist() == [[[9] * 9]]


UCR = [(1, 0.5, -1.25, 3.0), (2, 4.0, 5.5, 6.0), (1, 7.0, 8.0, -9.5), (2, 0.25, 0.0, 1.0)]


@pytest.mark.parametrize("separator", ["  ", ",", "\t"])
@pytest.mark.parametrize("ending", [".txt", ".TXT", ""])
def test_text_files_of_the_ucr_archive(write, separator, ending):
    start = separator if separator.isspace() and separator != "\t" else ""
    text = "".join(start + separator.join(f"{v:.7e}" for v in row) + "\n" for row in UCR)
    for split in ("TRAIN", "TEST"):
        path = write(f"Toy_{split}{ending}", text)
    loaded = data.load(path)
    assert loaded.name == "Toy"
    assert loaded.x_train.tolist() == loaded.x_test.tolist() == [[list(row[1:])] for row in UCR]
    assert (loaded.classes, loaded.y_train.tolist()) == (("1", "2"), [0, 1, 0, 1])


def test_text_files_of_windows_without_labels(write, told):
    """As UCI HAR has its signals: blanks of any number, exponents of three digits."""
    text = "".join("  " + " ".join(f"{v:.7e}".replace("e+", "e+0") for v in r) + "\n" for r in UCR)
    path = write("signal.txt", text.replace("1.0000000e+000", "1.5000000e+000", 1))
    loaded = data.load(path, labels=False, table="wide")
    assert loaded.x_train.shape == (4, 1, 4)
    assert loaded.x_train[2].tolist() == [[1, 7, 8, -9.5]]
    assert "data: separator: blanks" in told()
    columns = write("long.txt", "time_s ax ay\n0.0 1 4\n0.1 3 2\n0.2 2 5\n")
    assert data.load(columns, labels=False).channel_names == ("ax", "ay")
