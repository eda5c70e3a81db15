"""The data are torchvision's, in its order, wherever they come from."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from raysweep.errors import TrainableError
from raysweep.vision import data, sources
from raysweep.vision.data import DataSet, Images, Statistics, statistics
from raysweep.vision.options import Options

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
needs_fashion = pytest.mark.skipif(
    not (DEBIAN / "train-images-idx3-ubyte.gz").exists(), reason="needs Debian's dataset-fashion-mnist"
)
NOWHERE = "http://127.0.0.1:9/"  # nobody listens on the discard port


@pytest.fixture(scope="module")
def fashion() -> tuple[torch.Tensor, torch.Tensor]:
    train, _, _ = sources.source("fashion_mnist", Path("nowhere"))
    return train


@pytest.fixture
def torchvisions(tmp_path: Path, fashion: tuple[torch.Tensor, torch.Tensor]) -> Any:
    """torchvision's own data set of the same files, as it lays them out."""
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for path in DEBIAN.glob("*.gz"):
        (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return tmp_path


def test_digits_are_split_evenly_and_always_alike() -> None:
    first, again = DataSet.load(Options()), sources.source("digits", Path("nowhere"))
    assert (len(first.train), len(first.validation)) == (1500, 297)
    assert (first.channels, first.size, first.classes) == (1, (28, 28), tuple("0123456789"))
    images, labels = first.train.__getitems__(list(range(1500)))
    assert torch.equal(images, again[0][0])
    assert images.min() == 0
    assert images.max() == 1
    shares = torch.bincount(labels) / torch.bincount(again[1][1])
    assert (shares - 1500 / 297).abs().max() < 0.15


@needs_fashion
def test_order_and_values_are_those_of_torchvisions_loader(torchvisions: Path) -> None:
    mean, std = (0.2860,), (0.3530,)
    convert = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
    plain = Subset(datasets.FashionMNIST(torchvisions, transform=convert), range(400))
    arrays, _, classes = sources.source("fashion_mnist", torchvisions)
    ours = Images((arrays[0][:400], arrays[1][:400]), Statistics(mean, std))
    assert list(classes) == datasets.FashionMNIST.classes
    for shuffle in (False, True):
        torch.manual_seed(3)
        expected = [batch for _ in range(2) for batch in DataLoader(plain, 64, shuffle=shuffle)]
        after = torch.rand(1)
        torch.manual_seed(3)
        loader = ours.loader(64, shuffle)
        got = [batch for _ in range(2) for batch in loader]
        assert torch.equal(torch.rand(1), after)  # as many random numbers were drawn
        for (images, labels), (other_images, other_labels) in zip(got, expected, strict=True):
            assert torch.equal(images, other_images)
            assert torch.equal(labels, other_labels)


@needs_fashion
def test_debians_package_is_whole() -> None:
    train, validation, _ = sources.source("fashion_mnist", Path("nowhere"))
    assert train[0].shape == (60000, 1, 28, 28)
    assert validation[1].shape == (10000,)
    measured = statistics(train[0])
    assert measured.mean == pytest.approx((0.2860406,), abs=1e-6)  # the data set's well-known values
    assert measured.std == pytest.approx((0.3530242,), abs=1e-6)


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_no_batch(workers: int) -> None:
    images = Images((torch.arange(40).reshape(10, 1, 2, 2).byte(), torch.arange(10)))
    batches = list(images.loader(4, shuffle=False, num_workers=workers))
    assert [labels.tolist() for _, labels in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert torch.equal(batches[2][0], torch.arange(32, 40).reshape(2, 1, 2, 2) / 255)
    image, label = images[9]
    assert torch.equal(image, batches[2][0][1])
    assert label == 9
    assert torch.equal(torch.cat([labels for _, labels in images.slices(3)]), torch.arange(10))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_statistics_equal_the_plain_computation(dtype: torch.dtype) -> None:
    made = torch.randint(0, 256, (50, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    plain = made / 255
    got = statistics(made if dtype == torch.uint8 else plain)
    for channel in range(3):
        assert got.mean[channel] == pytest.approx(float(plain[:, channel].mean()), abs=1e-6)
        assert got.std[channel] == pytest.approx(float(plain[:, channel].std()), abs=1e-6)
    normalized = got.normalized(plain)
    assert normalized.mean(dim=(0, 2, 3)).abs().max() < 1e-5


def test_a_constant_channel_stays_finite() -> None:
    constant = torch.full((5, 1, 4, 4), 51, dtype=torch.uint8)
    measured = statistics(constant)
    assert measured.std == (1.0,)
    assert measured.normalized(constant / 255).abs().max() < 1e-6


def test_limit_takes_the_first_samples() -> None:
    whole, part = DataSet.load(Options()), DataSet.load(Options(limit=103, normalize=True))
    assert (len(part.train), len(part.validation)) == (103, 20)
    assert part.train[102][1] == whole.train[102][1]
    assert part.normalize is not None
    assert part.normalize != DataSet.load(Options(normalize=True)).normalize


@pytest.mark.parametrize("zipped", [True, False])
def test_mnist_family_is_found_in_data_dir(zipped: bool, tmp_path: Path, write_idx: Callable[..., None]) -> None:
    write_idx(tmp_path / "KMNIST" / "raw", zipped)
    found = DataSet.load(Options(dataset="kmnist", data_dir=str(tmp_path)))
    assert (len(found.train), len(found.validation), found.classes[0]) == (60, 20, "o")
    if not zipped:
        plain = datasets.KMNIST(tmp_path, transform=transforms.ToTensor())
        assert torch.equal(found.train[7][0], plain[7][0])
        assert found.train[7][1] == plain[7][1]


@pytest.mark.parametrize("name", sources.CLASSES)
def test_classes_are_torchvisions(name: str) -> None:
    assert list(sources.CLASSES[name]) == getattr(datasets, sources.TORCHVISION[name]).classes


def test_a_network_of_ours_is_built_without_torchvision() -> None:
    code = (
        "import sys; from raysweep.vision.options import Options; from raysweep.vision.training import Training; "
        "Training.build(Options()); assert 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_cifar10_is_found_in_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path / "cifar-10-batches-py", monkeypatch)
    found = DataSet.load(Options(dataset="cifar10", data_dir=str(tmp_path), normalize=True))
    assert (len(found.train), len(found.validation), found.channels, found.size) == (20, 4, 3, (32, 32))
    assert found.normalize is not None
    plain = datasets.CIFAR10(tmp_path, transform=transforms.ToTensor())
    assert torch.allclose(found.train[5][0], found.normalize.normalized(plain[5][0][None])[0])
    assert found.classes == ("plane", "car")


def write_cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small data set in CIFAR-10's own files, whose MD5 sums torchvision then expects."""
    folder.mkdir(parents=True)
    sums = {}
    for seed, name in enumerate([*(f"data_batch_{part}" for part in range(1, 6)), "test_batch"]):
        pixels = np.random.default_rng(seed).integers(0, 256, (4, 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": [0, 1, 0, 1]}))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["plane", "car"]}))
    meta = hashlib.md5((folder / "batches.meta").read_bytes()).hexdigest()
    cifar = datasets.CIFAR10
    monkeypatch.setattr(cifar, "train_list", [[name, sums[name]] for name in sums if name != "test_batch"])
    monkeypatch.setattr(cifar, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(cifar, "meta", {**cifar.meta, "md5": meta})


def test_missing_data_set_names_all_three_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [NOWHERE])
    monkeypatch.setitem(sources.DEBIAN, "fashion_mnist", ("dataset-fashion-mnist", tmp_path / "none"))
    with pytest.raises(TrainableError) as caught:
        DataSet.load(Options(dataset="fashion_mnist", data_dir=str(tmp_path / "data")))
    message = str(caught.value)
    assert f"set data_dir to a folder that holds FashionMNIST/raw (now it is {tmp_path}/data)" in message
    assert "apt-get install dataset-fashion-mnist" in message
    assert "downloaded into data_dir, which failed now: Error downloading" in message
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".fashion_mnist.lock"]


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST/raw"), ("cifar10", "cifar-10-batches-py")])
def test_missing_data_set_without_a_package(
    name: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.MNIST, "mirrors", [NOWHERE])
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{NOWHERE}cifar.tar.gz")
    with pytest.raises(TrainableError, match=f"holds {folder}") as caught:
        DataSet.load(Options(dataset=name, data_dir=str(tmp_path)))
    assert "apt-get" not in str(caught.value)


def test_data_dir_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(TrainableError, match=r"failed now: .*data"):
        DataSet.load(Options(dataset="mnist", data_dir=str(tmp_path / "data")))


def test_concurrent_trials_download_once(
    tmp_path: Path, write_idx: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_idx(tmp_path / "served")
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            if self.command == "GET":
                asked.append(self.path)

    handler = partial(Handler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        files = [path for path, _ in datasets.KMNIST.resources]
        sums = [hashlib.md5((tmp_path / "served" / name).read_bytes()).hexdigest() for name in files]
        monkeypatch.setattr(datasets.KMNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setattr(datasets.KMNIST, "resources", list(zip(files, sums, strict=True)))
        sources.source("kmnist", tmp_path / "alone")
        alone, asked[:] = sorted(asked), []
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: sources.source("kmnist", tmp_path / "data"), range(4)))
        server.shutdown()
        thread.join()
    assert set(alone) == {f"/{name}" for name in files}
    assert sorted(asked) == alone
    assert all(torch.equal(train[0], found[0][0][0]) for train, _, _ in found)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [".kmnist.lock", "KMNIST"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a whole IDX file"),
        (b"\x00\x00\x08", "not a whole IDX file"),
        (b"<html>not found</html>", "not a whole IDX file"),
        (b"\x00\x00\x08\x03\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x02abc", "not a whole IDX file"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x02ab", "do not belong together"),
    ],
)
def test_broken_files_are_named(content: bytes, message: str, tmp_path: Path, write_idx: Callable[..., None]) -> None:
    write_idx(tmp_path / "MNIST" / "raw", zipped=False)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(TrainableError, match=message):
        DataSet.load(Options(dataset="mnist", data_dir=str(tmp_path)))


def test_broken_gzip_is_named(tmp_path: Path, write_idx: Callable[..., None]) -> None:
    write_idx(tmp_path / "MNIST" / "raw")
    broken = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    broken.write_bytes(broken.read_bytes()[:500])
    with pytest.raises(TrainableError, match=r"train-images-idx3-ubyte\.gz cannot be read"):
        DataSet.load(Options(dataset="mnist", data_dir=str(tmp_path)))


def test_png_of_a_sample_is_the_sample() -> None:
    """PIL and the loader agree on what a pixel is; predict() relies on it."""
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = transforms.ToTensor()(Image.fromarray(pixels))
    assert torch.equal(image, data.pixels(torch.from_numpy(pixels)[None]))
