"""The reference trainable: image classifiers, trained, kept and used.

    "trainable": "raysweep.vision:train"      in a sweep file
    raysweep.vision.load("model.pt")          the trained network
    raysweep.vision.predict("model.pt", "shirt.png").names

PyTorch is loaded when a network is trained or used, not when this package or `train` is imported: a
sweep's driver imports the trainable only to see that it is there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raysweep.vision.prediction import Prediction, load, predict
    from raysweep.vision.trainable import train

__all__ = ["Prediction", "load", "predict", "train"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "trainable" if name == "train" else "prediction"
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return __all__
