"""Parquet: as the same table in text; columns that are read one at a time."""

import numpy as np
import pandas as pd
import pytest
import torch

from tsssl_fast import data

parquet = pytest.importorskip("pyarrow.parquet", reason="what reads Parquet is not installed")


def long_table(series=4, steps=12):
    step = np.tile(np.arange(steps), series)
    number = np.repeat(np.arange(series), steps)
    x = np.random.default_rng(0).normal(size=(2, series * steps))
    return pd.DataFrame(
        {
            "series": [f"s{n}" for n in number],
            "subject": number // 2,
            "time_s": step / 25,
            "acc.x": x[0],
            "acc_y": x[1].astype(np.float32),
            "label": np.where(number % 2, "walk", None),
        }
    )


def test_a_row_per_step_over_several_row_groups(tmp_path):
    table = long_table()
    shuffled = table.sample(frac=1, random_state=0)
    shuffled.to_parquet(tmp_path / "t.parquet", row_group_size=5, index=False)
    table.to_csv(tmp_path / "t.csv", index=False)
    found = data.load(tmp_path / "t.parquet", labels=False)
    assert found.channel_names == ("acc.x", "acc_y")
    assert found.rate == pytest.approx(25)
    assert found.classes == ("walk",)
    x = table[["acc.x", "acc_y"]].to_numpy(np.float64).reshape(4, 12, 2).transpose(0, 2, 1)
    order = [int(name[1:]) for name in found.ids_train]
    assert torch.equal(found.x_train, torch.from_numpy(x[order].copy()))
    assert found.y_train.tolist() == [0 if n % 2 else -1 for n in order]
    assert found.groups.tolist() == [n // 2 for n in order]
    text = data.load(tmp_path / "t.csv", labels=False)
    assert text.x_train[order].numpy() == pytest.approx(found.x_train.numpy(), abs=1e-6)


def test_a_row_per_series(tmp_path):
    x = np.arange(36.0).reshape(3, 12)
    table = pd.DataFrame(x, columns=[f"t{i}" for i in range(12)]).assign(label=[1, 2, 1])
    table.to_parquet(tmp_path / "t.parquet", row_group_size=2)
    found = data.load(tmp_path / "t.parquet")
    assert found.x_train[:, 0].tolist() == x.tolist()
    assert found.classes == ("1", "2")


def test_an_index_is_a_column_with_its_name_and_none_without(tmp_path):
    table = long_table().drop(columns=["subject", "label"])
    table.set_index("series").to_parquet(tmp_path / "named.parquet")
    assert data.load(tmp_path / "named.parquet", labels=False).ids_train == ("s0", "s1", "s2", "s3")
    table.index = table.index[::-1]
    table.to_parquet(tmp_path / "unnamed.parquet")
    found = data.load(tmp_path / "unnamed.parquet", labels=False)
    assert found.channel_names == ("acc.x", "acc_y")


def fewer_rows(read):
    return lambda *arguments, **named: read(*arguments, **named).slice(0, 30)


def test_what_can_not_be_read_is_one_line(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    long_table().to_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"t\.parquet: not a complete Parquet file"):
        data.load(path)
    path.write_bytes(whole[:4] + bytes(300) + whole[304:])  # a column, behind a whole footer
    with pytest.raises(ValueError, match=r"t\.parquet: not a complete Parquet file"):
        data.load(path, labels=False)
    path.write_bytes(whole)
    with monkeypatch.context() as patch:  # as of a page whose count of values is damaged
        patch.setattr(parquet.ParquetFile, "read", fewer_rows(parquet.ParquetFile.read))
        with pytest.raises(ValueError, match=r"t\.parquet: not a .*'series' has 30 of 48 rows"):
            data.load(path, labels=False)
    long_table().assign(acc_y="here").to_parquet(path)
    with pytest.raises(ValueError, match=r"t\.parquet: could not convert string to float: column"):
        data.load(path, labels=False, columns={"values": "acc_y"})
    long_table()[:0].to_parquet(path)
    with pytest.raises(ValueError, match=r"t\.parquet: accepted: rows, and one column of a name"):
        data.load(path)
