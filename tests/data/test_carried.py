"""Which settings of one file are those of another."""

import numpy as np
import pytest

from tsssl_fast import data
from tsssl_fast.data.carried import carried_over

KEPT = data.Reading(
    columns={"label": "kind", "values": "ax,ay"},
    table="long",
    layout="NTC",
    window="20",
    time_unit="ms",
    rate=50.0,
    test_share=0.25,
).as_dict()


@pytest.fixture
def place(tmp_path, write):
    def of(name):
        if name.endswith(".npz"):
            shape = (4, 5) if "flat" in name else (4, 5, 3)
            more = {"X_test": np.zeros(shape)} if "test" in name else {}
            np.savez(tmp_path / name, X_train=np.zeros(shape), **more)
            return tmp_path / name
        return write(
            name,
            {"clock.csv": "time_s,ax,kind\n0,1,a\n1,3,a\n"}.get(
                name, "ax,ay,az,kind\n0,1,4,a\n1,3,2,a\n"
            ),
        )

    return of


@pytest.mark.parametrize(
    ("name", "taken", "reasons"),
    [
        (
            "t.csv",
            {"columns", "table", "window", "time_unit", "rate", "test_share"},
            {"layout": "no array"},
        ),
        (
            "clock.csv",
            {"columns", "table", "window", "test_share"},
            {
                "columns values": "no column ay",
                "layout": "no array",
                "time_unit": "time_s says its unit",
                "rate": "it has the time time_s",
            },
        ),
        (
            "t.npz",
            {"layout", "window", "rate", "test_share"},
            {
                "columns label": "no table",
                "columns values": "no table",
                "table": "no table",
                "time_unit": "no table",
            },
        ),
        (
            "flat-test.npz",
            {"window", "rate"},
            {
                "columns label": "no table",
                "columns values": "no table",
                "table": "no table",
                "layout": "an array of 2 dimensions",
                "time_unit": "no table",
                "test_share": "it has a test split",
            },
        ),
    ],
)
def test_what_fits_and_why_others_do_not(place, name, taken, reasons):
    found, why = carried_over(place(name), KEPT)
    plain = data.Reading().as_dict()
    assert {key for key, value in found.items() if value != plain[key]} == taken
    assert why == reasons
    assert data.Reading.of(found)


def test_the_same_data_keep_all_of_them(place):
    assert carried_over(place("t.npz"), KEPT, same=True) == (KEPT, {})


def test_no_test_split_where_none_is_wanted(place):
    found, why = carried_over(place("t.csv"), KEPT, whole=True)
    assert "test_share" not in found
    assert why["test_share"] == "all are taken"


def test_channels_are_those_of_training_where_a_table_has_them(place, write, tmp_path):
    for channels, wanted in ((("ay", "ax"), True), (("ay", "left"), False)):
        found, _ = carried_over(place("t.csv"), {"columns": {"label": "kind"}}, channels)
        assert ("channels" in found) == wanted
        loaded = data.load(tmp_path / "t.csv", labels=False, reading=data.Reading.of(found))
        assert loaded.channel_names == (channels if wanted else ("ax", "ay", "az"))
    assert "channels" not in carried_over(place("t.npz"), {}, ("ax",))[0]
    write("folder/a.csv", (tmp_path / "t.csv").read_text())
    assert carried_over(tmp_path / "folder", {}, ("az",))[0]["channels"] == ("az",)


def test_what_is_text_here_is_no_channel(write):
    path = write("t.csv", "note,ax,n\nx,1,4\ny,3,4\nz,2,4\n")
    with pytest.raises(ValueError, match="column 'note' holds 'x' in line 2"):
        data.load(path, labels=False)
    assert data.load(path, labels=False, channels=("ax",)).x_train.tolist() == [[[1, 3, 2]]]
    assert data.load(path, labels=False, channels=("n", "ax")).x_train.shape == (1, 2, 3)
    with pytest.raises(ValueError, match="column 'note'; accepted: numbers"):
        data.load(path, labels=False, channels=("note",))


def test_what_can_not_be_read_is_left_to_the_reader(tmp_path, write):
    for name in ("lost.csv", "lost.npz"):
        assert carried_over(tmp_path / name, {"window": "3"})[0]["window"] == "3"
    assert carried_over(write("t.npz", b"PK"), {"window": "3"})[0]["window"] == "3"
