"""Every network fits the images and classes it is made for."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import nn
from torchvision import models

from raysweep.errors import TrainableError
from raysweep.vision.description import Description
from raysweep.vision.networks import build
from raysweep.vision.zoo import zoo_network

CLASSES = tuple("0123456789")


def described(network: str, channels: int = 1, size: tuple[int, int] = (28, 28), **more: Any) -> Description:
    return Description(network, channels, size, more.pop("classes", CLASSES), **more)


def test_lenet_is_the_tutorials() -> None:
    network = build(described("lenet"))
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items() if "weight" in name}
    assert shapes == {
        "conv1.weight": (6, 1, 5, 5),
        "conv2.weight": (12, 6, 5, 5),
        "fc1.weight": (120, 192),
        "fc2.weight": (60, 120),
        "out.weight": (10, 60),
    }
    assert network.training


def test_lenet_bn_is_the_tutorials_second() -> None:
    torch.manual_seed(0)
    network = build(described("lenet_bn"))
    torch.manual_seed(0)
    plain = build(described("lenet"))
    assert network.bn1.num_features == 6  # type: ignore[union-attr]
    assert network.bn2.num_features == 120  # type: ignore[union-attr]
    state = network.state_dict()
    assert int(state["bn1.num_batches_tracked"]) == 0  # the trial run left no trace
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())


def test_mlp_has_the_hidden_layers() -> None:
    sizes = [layer.out_features for layer in build(described("mlp")).modules() if isinstance(layer, nn.Linear)]
    assert sizes == [128, 64, 10]
    network = build(described("mlp", channels=3, hidden=(7,)))
    assert [tuple(value.shape) for value in network.parameters()] == [(7, 2352), (7,), (10, 7), (10,)]


@pytest.mark.parametrize("name", ["lenet", "lenet_bn", "mlp", "resnet18"])
@pytest.mark.parametrize(("channels", "size"), [(1, (28, 28)), (3, (32, 32))])
def test_takes_the_images(name: str, channels: int, size: tuple[int, int]) -> None:
    network = build(described(name, channels, size, classes=("a", "b", "c")))
    assert network(torch.rand(2, channels, *size)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "size"),
    [("squeezenet1_1", 64), ("mobilenet_v3_small", 32), ("shufflenet_v2_x0_5", 32), ("googlenet", 64)],
)
def test_torchvisions_families_are_fitted(name: str, size: int) -> None:
    network = zoo_network(name, channels=1, classes=4)
    assert network(torch.rand(2, 1, size, size)).shape == (2, 4)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "googlenet", "densenet121"])
def test_pretrained_networks_are_fitted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def downloaded(name: str, weights: str, **arguments: Any) -> Any:
        """As torchvision builds it from its weights, which are other numbers here."""
        assert weights == "DEFAULT"
        more = {"init_weights": False} if name == "googlenet" else {}
        network = original(name, weights=None, **arguments, **more)
        if name == "googlenet":
            network.transform_input = True
        return network

    original = models.get_model
    monkeypatch.setattr(models, "get_model", downloaded)
    network = zoo_network(name, channels=1, classes=4, pretrained=True).eval()
    assert network(torch.rand(2, 1, 64, 64)).shape == (2, 4)


def test_pretrained_stem_sees_grey_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    colour = models.resnet18()
    monkeypatch.setattr(models, "get_model", lambda *_, **__: colour)
    grey = torch.rand(2, 1, 32, 32)
    expected = colour.conv1(grey.expand(-1, 3, -1, -1))
    fitted = zoo_network("resnet18", channels=1, classes=4, pretrained=True)
    assert torch.allclose(fitted.conv1(grey), expected, atol=1e-6)  # type: ignore[operator]


def test_pretrained_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    monkeypatch.setattr("torch.hub.get_dir", lambda: "/nowhere")
    with pytest.raises(TrainableError, match=r"pretrained weights of resnet18 .*no route to host.*set pretrained"):
        build(described("resnet18"), pretrained=True)


def test_building_leaves_the_generators_where_a_plain_script_does() -> None:
    torch.manual_seed(0)
    build(described("lenet"))
    after = torch.rand(1)
    torch.manual_seed(0)
    nn.Conv2d(1, 6, 5), nn.Conv2d(6, 12, 5), nn.Linear(192, 120), nn.Linear(120, 60), nn.Linear(60, 10)
    assert torch.equal(torch.rand(1), after)


OWN = """
from torch import nn
class Plain(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
class Sized(nn.Sequential):
    def __init__(self, num_classes, in_channels=3):
        super().__init__(nn.Flatten(), nn.Linear(784 * in_channels, num_classes))
class Demanding(Plain):
    def __init__(self, width):
        super().__init__()
class Raising(Plain):
    def forward(self, images):
        raise ValueError("not today")
class Pair(Plain):
    def forward(self, images):
        return 1, 2
def function(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))
def text():
    return "text"
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(OWN)
    return tmp_path / "net.py"


@pytest.mark.parametrize("name", ["Plain", "Sized", "function"])
def test_own_network_from_the_working_directory(name: str, own: Path) -> None:
    assert build(described(f"net.py:{name}"))(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    assert build(described(f"{own}:{name}"))(torch.rand(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nett.py:Plain", "network 'nett.py:Plain': there is no file /.*/nett.py"),
        ("net.py:Plane", "unknown class in .*net.py: 'Plane'; did you mean 'Plain'?"),
        ("net.py:Demanding", "cannot be constructed: TypeError: .*'width'"),
        ("net.py:Raising", "takes no images of 28x28 pixels and 1 channel: ValueError: not today"),
        ("net.py:Pair", "scores of shape .N, 10., one for each class; for one image it gave tuple"),
        ("net.py:text", "makes a str, not a torch.nn.Module"),
        ("net.txt:Plain", "net.txt is not a Python file"),
        ("broken.py:Plain", "broken.py cannot be imported: SyntaxError"),
    ],
)
def test_own_network_that_cannot_be_used(name: str, message: str, own: Path) -> None:
    own.with_name("net.txt").write_text(OWN)
    own.with_name("broken.py").write_text("class")
    with pytest.raises(TrainableError, match=message):
        build(described(name))


def test_own_network_with_other_classes(own: Path) -> None:
    with pytest.raises(TrainableError, match=r"scores of shape \(N, 3\).*it gave \(1, 10\)"):
        build(described("net.py:Plain", classes=("a", "b", "c")))


@pytest.mark.parametrize("name", ["lenet", "alexnet"])
def test_images_too_small(name: str) -> None:
    with pytest.raises(TrainableError, match=f"network '{name}'.*"):
        build(described(name, size=(8, 8)))
