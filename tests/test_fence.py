"""A fraction of a GPU is also a fraction of its memory."""

from __future__ import annotations

from unittest import mock

import pytest
import torch

from raysweep.worker.settings import fence


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA: PyTorch fences no other memory")
def test_a_trial_cannot_take_more_memory_than_its_share() -> None:
    total = torch.cuda.mem_get_info()[1]
    try:
        fence(0.25)
        held = torch.empty(int(total * 0.2), dtype=torch.uint8, device="cuda")
        with pytest.raises(torch.cuda.OutOfMemoryError):
            torch.empty(int(total * 0.1), dtype=torch.uint8, device="cuda")
        del held
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(1.0)
        assert len(torch.empty(int(total * 0.3), dtype=torch.uint8, device="cuda"))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


def test_each_visible_gpu_is_fenced() -> None:
    with (
        mock.patch.object(torch.cuda, "is_available", return_value=True),
        mock.patch.object(torch.cuda, "device_count", return_value=2),
        mock.patch.object(torch.cuda, "set_per_process_memory_fraction") as told,
    ):
        fence(0.25)
    assert told.mock_calls == [mock.call(0.25, 0), mock.call(0.25, 1)]


@pytest.mark.parametrize("gpu", [0, 1, 2])
def test_whole_gpus_and_none_are_not_fenced(gpu: float) -> None:
    with (
        mock.patch.object(torch.cuda, "is_available", return_value=True),
        mock.patch.object(torch.cuda, "set_per_process_memory_fraction") as told,
    ):
        fence(gpu)
    assert told.mock_calls == []
