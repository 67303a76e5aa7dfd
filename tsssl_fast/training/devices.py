"""Where to compute, by name."""

import torch

DEVICES = ("auto", "cpu", "cuda", "cuda:N", "mps")


def device(name: str) -> torch.device:
    """The device `name`: "auto" is a GPU where there is one, else the processor.

    Raises ValueError for a device that is not here, saying what is.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    here = ["auto", "cpu", *(f"cuda:{index}" for index in range(gpus)), *(["mps"] if mps else [])]
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    if name in here or (name == "cuda" and gpus):
        return torch.device(name)
    raise ValueError(f"device: {name!r} is not on this machine; accepted here: {', '.join(here)}")
