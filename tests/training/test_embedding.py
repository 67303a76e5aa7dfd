"""Embeddings in files: their values, ids, labels; every format read back."""

from dataclasses import replace

import numpy as np
import pandas
import pytest
import torch
from toy import dataset

from tsssl_fast import encoders, evaluate, training
from tsssl_fast.data import Scaling


@pytest.fixture
def embedded():
    torch.manual_seed(0)
    data, encoder = dataset(), encoders.ResNet(3, (4, 8)).eval()
    scaling = Scaling.fit(data.x_train)
    return data, encoder, scaling, training.embed(encoder, scaling, data)


def test_rows_are_the_series_of_both_splits(embedded):
    data, encoder, scaling, found = embedded
    x = torch.cat([data.x_train, data.x_test])
    assert np.array_equal(found.features, evaluate.features(encoder, scaling(x)).numpy())
    assert list(found.split) == ["train"] * 24 + ["test"] * 24
    assert list(found.id[22:26]) == ["22", "23", "0", "1"]
    assert list(found.label[:4]) == ["class 0", "class 1", "class 2", "class 0"]
    hidden = replace(data, y_train=torch.full((24,), -1))
    some = training.embed(encoder, scaling, hidden)
    assert list(some.label[:2]) == ["", ""]
    assert some.label[24] == "class 0"
    none = replace(hidden, y_test=torch.full((24,), -1), classes=(), x_test=data.x_test[:0])
    alone = training.embed(encoder, scaling, none, pooling="stages")
    assert alone.label is None
    assert set(alone.split) == {"train"}
    assert alone.features.shape == (24, 8 + 16)


def test_files_read_back(embedded, tmp_path):
    *_, found = embedded
    found.write(tmp_path / "new" / "e.npz")
    with np.load(tmp_path / "new" / "e.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"features", "id", "split", "label"}
        assert np.array_equal(arrays["features"], found.features)
        assert np.array_equal(arrays["label"], found.label)
        assert np.array_equal(arrays["id"], found.id)
    found.write(tmp_path / "e.csv")
    found.write(tmp_path / "e.csv")
    table = pandas.read_csv(tmp_path / "e.csv", dtype={"id": str})
    same(table, found)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.csv", "new"]


def test_parquet_reads_back(embedded, tmp_path):
    pytest.importorskip("pyarrow", reason="what writes Parquet is not installed")
    *_, found = embedded
    found.write(tmp_path / "e.parquet")
    same(pandas.read_parquet(tmp_path / "e.parquet"), found)


def same(table, found):
    width = found.features.shape[1]
    assert list(table.columns) == ["id", "split", "label", *(f"f{i}" for i in range(width))]
    for name in ("id", "split", "label"):
        assert list(table[name]) == list(getattr(found, name))
    features = table[[f"f{i}" for i in range(width)]].to_numpy(np.float32)
    assert np.array_equal(features, found.features)


def test_bad_files_are_told_before_anything_is_written(embedded, tmp_path, monkeypatch):
    *_, found = embedded
    with pytest.raises(ValueError, match=r"out: .*e\.xlsx; accepted: a name that ends in \.npz"):
        found.write(tmp_path / "e.xlsx")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"\.parquet is written by pyarrow; install it by: pip"):
        found.write(tmp_path / "e.parquet")
    monkeypatch.setattr(pandas.DataFrame, "to_csv", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        found.write(tmp_path / "e.csv")
    assert list(tmp_path.iterdir()) == []
