"""What a sweep file names: `"trainable": "raysweep.vision:train"`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raysweep.vision.options import Options


def train(config: Mapping[str, Any]) -> None:
    """Train an image classifier, and report every epoch.

    Reports `loss` and `accuracy` (means over the training samples, while they were trained on),
    `val_loss` and `val_accuracy` (means over the validation samples, after the epoch),
    `epoch_duration` and `run_duration` (seconds) and `samples_per_second`. With equal configurations,
    seed included, the numbers are equal, also where a trial was interrupted and went on.

    Args:
        config: any of the fields of `raysweep.vision.options.Options`, which say what they mean; those
            left out have their defaults.

    Raises:
        TrainableError: a key is unknown, or a value cannot be used; the data set cannot be found; the
            network cannot be built or takes no such images; the device is not there.
    """
    options = Options.of(config)  # before PyTorch is loaded, which takes seconds
    from raysweep.vision.training import Training

    Training.build(options).run()
