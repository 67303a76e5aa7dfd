"""One training of each method that looks across a batch, for any number of processes."""

from torch import Tensor
from toy import dataset, plain

from tsssl_fast.training import Config, Settings, fit

METHODS = ("supervised", "simclr", "vicreg", "barlow_twins", "moco", "supcon", "clip")


def trained(name: str, devices: int) -> tuple[dict[str, Tensor], list[float]]:
    """The method's state, in float64, and the losses of its epochs."""
    data, rows = dataset(), []
    given = {"epochs": 2, "batch_size": 12, "seed": 1, "lr": 1e-3, "amp": "32"}
    given |= {"device": "cpu", "devices": devices, "batch_norm": "all"}
    if name == "supervised":
        method, settings = plain(), Settings(**given)
    else:
        settings = Config(method=name, encoder="resnet", **given)
        method = settings.build(data.channels, data.length)
    method = method.double()
    x = data.x_train.double()
    fit(method, x, settings, labels=data.y_train, on_epoch=lambda row, _: rows.append(row))
    return dict(method.state_dict()), [row["loss"] for row in rows]
