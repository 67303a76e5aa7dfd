"""Series that stay on disk: the same rows, scaling, training and embeddings as in memory."""

import zipfile

import numpy as np
import pytest
import torch
from toy import dataset, sines

from tsssl_fast import data, training
from tsssl_fast.data import Scaling, Series, collected, stored
from tsssl_fast.training import Config, checkpoint


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch):
    monkeypatch.setattr(stored, "HELD", 100)
    monkeypatch.setattr("tsssl_fast.data.arrays.MAPPED", 0)
    monkeypatch.setattr(stored, "BLOCK", 500)


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(30, 2, 40)).astype(np.float32)


def on_disk(path, **settings):
    found = data.load(path, labels=False, in_memory=False, **settings)
    assert isinstance(found.x_train, Series)
    held = data.load(path, labels=False, **settings)
    assert isinstance(held.x_train, torch.Tensor)
    assert torch.equal(found.x_train[:], held.x_train)
    assert found.x_train.dtype == held.x_train.dtype
    rows = torch.tensor([2, 0, 2])
    assert torch.equal(found.x_train[rows], held.x_train[rows])
    return found, held


def test_a_mapped_array_is_read_by_rows(tmp_path, x):
    np.save(tmp_path / "t.npy", x)
    found, held = on_disk(tmp_path / "t.npy")
    assert stored.is_mapped(found.x_train.source)
    assert np.array_equal(held.x_train.numpy(), x)
    assert torch.equal(Scaling.fit(found.x_train).scale, Scaling.fit(held.x_train).scale)
    scaling = Scaling.fit(held.x_train)
    assert torch.equal(scaling(found.x_train)[3:9], scaling(held.x_train)[3:9])
    on_disk(tmp_path / "t.npy", layout="NTC")
    on_disk(tmp_path / "t.npy", test_share=0.3)
    on_disk(tmp_path / "t.npy", window="8", stride="3")
    np.save(tmp_path / "t.npy", np.asfortranarray(x.astype(np.float64)))
    on_disk(tmp_path / "t.npy")


def test_a_folder_of_parts(tmp_path, x):
    for kind, save in (("npy", np.save), ("npz", lambda f, a: np.savez(f, X=a))):
        folder = tmp_path / kind
        folder.mkdir()
        for part, (a, b) in enumerate(((0, 11), (11, 12), (12, 30))):
            save(folder / f"p{part}.{kind}", x[a:b])
        found, held = on_disk(folder)
        assert isinstance(found.x_train.source, stored.Parts)
        assert all(stored.is_mapped(array) for array in found.x_train.source.arrays)
        assert np.array_equal(held.x_train.numpy(), x)
        on_disk(folder, window="8")


def test_members_of_an_archive_stay_where_they_lie(tmp_path, x):
    y = np.arange(30) % 3
    np.savez(tmp_path / "t.npz", X_train=x, y_train=y, X_test=x[:4] + 1, y_test=y[:4])
    found, held = on_disk(tmp_path / "t.npz")
    assert torch.equal(found.x_test[:], held.x_test)
    assert torch.equal(found.y_train, held.y_train)
    known = torch.from_numpy(y == 1)
    assert torch.equal(found.only_train(known).x_train[:], held.x_train[known])
    np.savez_compressed(tmp_path / "c.npz", X=x)
    found, _ = on_disk(tmp_path / "c.npz")
    assert not stored.is_mapped(found.x_train.source)
    with zipfile.ZipFile(tmp_path / "t.npz", "a") as archive:
        archive.writestr("X.npy", b"\x93NUMPY\x01\x00")
    with pytest.raises(ValueError, match=r"t\.npz: not a complete \.npz file"):
        data.load(tmp_path / "t.npz")


def test_holes_are_filled_and_infinities_refused_as_in_memory(tmp_path, x):
    x[3, 1, 5:9] = np.nan
    x[4, 0] = np.nan
    np.save(tmp_path / "t.npy", x)
    with pytest.raises(ValueError, match="X_train has 44 NaN; choose missing="):
        data.load(tmp_path / "t.npy", labels=False, in_memory=False)
    for missing in ("linear", "forward_backward", "zero"):
        found, _ = on_disk(tmp_path / "t.npy", missing=missing)
        assert found.x_train[4:5][0, 0].abs().max() == 0
    x[0, 0, 0] = np.inf
    np.save(tmp_path / "t.npy", x)
    with pytest.raises(ValueError, match="X_train has infinite values"):
        data.load(tmp_path / "t.npy", labels=False, in_memory=False, missing="zero")


def test_training_and_embeddings_have_the_same_bits(tmp_path, monkeypatch):
    toy = dataset()
    toy_file = tmp_path / "toy.npz"
    np.savez(toy_file, X_train=toy.x_train, y_train=toy.y_train, X_test=toy.x_test)
    config = Config(epochs=2, batch_size=8, encoder="resnet", views="noise", device="cpu")
    runs = []
    for in_memory in (True, False):
        series = data.load(toy_file, labels=False, in_memory=in_memory)
        if in_memory:
            monkeypatch.setattr(stored, "HELD", 1 << 28)
        run = training.pretrain(series, config, tmp_path / str(in_memory))
        monkeypatch.setattr(stored, "HELD", 100)
        found = training.embed(run.method.encoder, run.scaling, series)
        runs.append((checkpoint.read(tmp_path / str(in_memory)), found.features))
    (held, features), (read, features_read) = runs
    assert held["data"] == read["data"]
    assert all(torch.equal(held["model"][k], read["model"][k]) for k in held["model"])
    assert np.array_equal(features, features_read)


@pytest.mark.parametrize("unequal", ["pad", "resample", "truncate"])
def test_series_of_unequal_length_train_alike(tmp_path, monkeypatch, unequal):
    folder = tmp_path / "t"
    folder.mkdir()
    x = sines(16, 2, 40, 2, seed=0)[0].numpy()
    for number, row in enumerate(x):
        np.save(folder / f"{number:02d}.npy", row[:, : 30 + number % 7])
    settings = {"unequal": unequal, "layout": "CT"}
    monkeypatch.setattr(stored, "memory", lambda: 1000)
    found = data.load(folder, labels=False, in_memory=False, **settings)
    assert stored.is_mapped(found.x_train.source)
    monkeypatch.undo()
    held = data.load(folder, labels=False, **settings)
    assert torch.equal(found.x_train[:], held.x_train)
    assert (found.lengths_train is None) == (unequal != "pad")
    config = Config(epochs=1, batch_size=8, encoder="resnet", views="noise")
    runs = [
        training.pretrain(one, config, tmp_path / str(n)) for n, one in enumerate((found, held))
    ]
    for one, other in zip(
        *(checkpoint.read(tmp_path / n)["model"].values() for n in "01"), strict=True
    ):
        assert torch.equal(one, other)
    torch.testing.assert_close(runs[0].scaling.scale, runs[1].scaling.scale, rtol=1e-14, atol=0)


def test_batches_of_an_iterable_train_as_one_tensor():
    x, _ = sines(24, 3, 40, 3, seed=0)
    config = Config(method="simclr", encoder="resnet", views="noise", device="cpu", lr=1e-3)
    settings = Config(**config.as_dict() | {"epochs": 2, "batch_size": 8})
    methods = [settings.build(3, 40) for _ in range(3)]
    training.fit(methods[0], x, settings)
    training.fit(methods[1], (part for part in x.split(7)), settings)
    training.fit(methods[2], [part.numpy() for part in x.split(10)], settings)
    for other in methods[1:]:
        for name, value in methods[0].state_dict().items():
            assert torch.equal(value, other.state_dict()[name])


@pytest.mark.parametrize(
    ("batches", "error", "message"),
    [
        ([], ValueError, "batches: none; accepted"),
        ([torch.zeros(2, 3)], ValueError, r"batch 0 has shape \(2, 3\); accepted: \(n, C, T\)"),
        (
            [torch.zeros(2, 1, 3, dtype=torch.int64)],
            TypeError,
            "batch 0 is torch.int64; accepted: float",
        ),
        ([(1, 2)], TypeError, "batch 0 is tuple; accepted: float32 or float64"),
        ([np.zeros((2, 1, 3)), np.zeros((2, 1, 4))], ValueError, r"batch 1 is float64 \(2, 1, 4\)"),
        ([np.zeros((1, 1, 3)), np.zeros((1, 1, 3), "f4")], ValueError, "batch 1 is float32"),
    ],
)
def test_what_is_no_batch_is_refused(batches, error, message):
    with pytest.raises(error, match=message):
        collected(iter(batches))


def test_short_memory_puts_tables_into_a_temporary_file(tmp_path, monkeypatch):
    rows = "".join(f"{s},{t},{s * t},{t % 3}\n" for s in range(4) for t in range(6))
    (tmp_path / "t.csv").write_text("series,time,x,y\n" + rows)
    expected = data.load(tmp_path / "t.csv", labels=False).x_train
    monkeypatch.setattr(stored, "memory", lambda: 64)
    found, _ = on_disk(tmp_path / "t.csv")
    assert torch.equal(found.x_train[:], expected)
    assert stored.is_mapped(stored.allocated((3, 4)))
