"""The tutorial's script: nested loops over the grid, one training after the other, scalars to TensorBoard."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from benchmarks.contenders.fashion import POINTS, Settings, fit, made


def main(path: str, threads: str) -> None:
    """Train all points."""
    torch.set_num_threads(int(threads))
    settings = Settings.read(path)
    results = []
    for config in settings.points():
        network, optimizer = made(config)
        writer = SummaryWriter(comment=f" lr={config['lr']} batch_size={config['batch_size']} {config['shuffle']}")
        for epoch, metrics in fit(config, settings, network, optimizer):
            for name, value in metrics.items():
                writer.add_scalar(name, value, epoch)
            print(config, epoch, metrics)
        writer.close()
        results.append({**config, **metrics})
    Path(POINTS).write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
