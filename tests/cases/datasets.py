"""Data sets whose items are augmented where they are read. Workers that are spawned import them by
name, so they stand outside of the test files."""

import torch
from cases.augment import series
from torch.utils.data import Dataset

from tsssl_fast import augment


class Augmented(Dataset):
    """pipeline(x[i], seed, epoch, sample_id=i); the epoch is a tensor that workers share."""

    def __init__(self, size, views=None):
        self.x = series(size, 3, 40)
        self.pipeline = augment.presets.simclr_ts()
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self.views = views

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.pipeline(self.x[i], self.views, seed=1, epoch=self.epoch, sample_id=i)


class AugmentedBatches(Dataset):
    """Two views of every item, as a batch of one."""

    pipeline = augment.presets.simclr_ts()

    def __init__(self) -> None:
        self.x = series(24, 3, 40)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> torch.Tensor:
        ids = torch.tensor([i])
        return self.pipeline(self.x[i : i + 1], 2, seed=1, epoch=3, sample_ids=ids)[:, 0]
