"""What a network and a batch look like in TensorBoard: histograms, an image grid, the graph.

Each function makes the protocol buffers and writes nothing; none changes the network, its numbers or
the random states. torch.utils.tensorboard loads on first use.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor, nn

GRID_IMAGES = 256  # as many of a batch as a grid shows; it is 8 wide, and more cannot be looked at
TRACED_SAMPLES = 2  # enough for a graph, and more than 1 for networks that squeeze() their batch


def histograms(network: nn.Module) -> Summary:
    """A histogram of every parameter and, where there is one, of its gradient.

    The tags are the parameter's name, such as `conv1.weight`, and `conv1.weight.grad`. Values that are
    not finite have no bucket and are left out; a tensor without a finite value has no histogram.
    """
    from torch.utils.tensorboard.summary import histogram

    bins = _bins()
    drawn = Summary()
    for tag, values in _finite(_tagged(network)):
        drawn.MergeFrom(histogram(tag, values, bins))  # type: ignore[no-untyped-call]  # torch's own
    return drawn


def image_grid(inputs: Tensor, tag: str = "images") -> Summary | None:
    """The first images of a batch in one picture, 8 a row.

    Args:
        inputs: (N, C, H, W), C being 1 or 3. uint8, or floats: values in [0, 1] are shown as they are,
            others (normalised images) are stretched from their minimum and maximum to [0, 1].
        tag: its name in TensorBoard.

    Returns:
        None where `inputs` are no images.
    """
    if inputs.ndim != 4 or inputs.shape[1] not in (1, 3) or not inputs.numel():
        return None
    from torch.utils.tensorboard.summary import image

    shown = inputs[:GRID_IMAGES].detach().cpu()
    shown = shown.float() / 255 if shown.dtype == torch.uint8 else shown.float()
    low, high = shown.min(), shown.max()
    if low < 0 or high > 1:
        shown = (shown - low) / (high - low).clamp_min(1e-5)
    framed = nn.functional.pad(shown, [1, 1, 1, 1])
    drawn: Summary = image(tag, framed, dataformats="NCHW")  # type: ignore[no-untyped-call]
    return drawn


def network_graph(network: nn.Module, inputs: Tensor) -> tuple[Any, Any]:
    """The network's graph as TensorBoard shows it: a GraphDef, and the RunMetadata beside it.

    A copy in evaluation mode is traced, on the CPU: tracing runs the network, and must move neither
    batch statistics nor random states.

    Raises:
        Exception: whatever the network raises when it is copied or traced; not every network can be.
    """
    from torch.utils.tensorboard._pytorch_graph import graph

    traced = copy.deepcopy(network).cpu().eval()
    sample = inputs[:TRACED_SAMPLES].detach().cpu()
    with torch.no_grad(), torch.random.fork_rng(devices=[]), _silence():
        made: tuple[Any, Any] = graph(traced, sample, use_strict_trace=False)  # type: ignore[no-untyped-call]
    return made


def _tagged(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in network.named_parameters():
        yield name, parameter
        if parameter.grad is not None:
            yield f"{name}.grad", parameter.grad


def _finite(tensors: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    for tag, tensor in tensors:
        dense = tensor.detach() if tensor.layout is torch.strided else tensor.detach().to_dense()
        values = dense.to("cpu", torch.float64).numpy().ravel()
        values = values[np.isfinite(values)]
        if values.size:
            yield tag, values.clip(-1e20, 1e20)  # into the outermost buckets


def _bins() -> np.ndarray[Any, Any]:
    """TensorBoard's usual buckets, ±1e-12 times 1.1 to the k up to ±1e20, as SummaryWriter makes them."""
    positive = 1e-12 * 1.1 ** np.arange(775)
    return np.concatenate([-positive[::-1], [0.0], positive])


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Tracing warns of what a graph leaves out, and prints where it fails; the exception says enough."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
