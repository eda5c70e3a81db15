"""Every option is checked, and every error names its key."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from raysweep.errors import TrainableError
from raysweep.vision import train
from raysweep.vision.options import Options

BAD: list[tuple[dict[str, Any], str]] = [
    ({"batchsize": 10}, "unknown key 'batchsize'; did you mean 'batch_size'?"),
    ({"learning": 10}, "unknown key 'learning'"),
    ({"xyz": 1}, "unknown key 'xyz'; there are augment, batch_size"),
    ({"Lr": 1}, "unknown key 'Lr'; did you mean 'lr'?"),
    ({"dataset": 3}, "dataset must be text; it is 3"),
    ({"dataset": "digit"}, "unknown dataset 'digit'; did you mean 'digits'?"),
    ({"dataset": "imagenet"}, "unknown dataset 'imagenet'; there are cifar10, digits, fashion_mnist"),
    ({"data_dir": ""}, "data_dir must be text"),
    ({"limit": 0}, "limit must be a whole number, 1 or more; it is 0"),
    ({"normalize": "yes"}, "normalize must be true or false; it is 'yes'"),
    ({"normalize": 1}, "normalize must be true or false; it is 1"),
    ({"network": None}, "network must be text; it is None"),
    ({"network": "lennet"}, "unknown network 'lennet'; did you mean 'lenet'?"),
    ({"network": "resnet19"}, "unknown network 'resnet19'; did you mean 'resnet1"),
    ({"hidden": 128}, r"hidden must be a list of layer sizes, such as \[128, 64\]; it is 128"),
    ({"hidden": []}, "hidden must be a list of layer sizes"),
    ({"network": "mlp", "hidden": [128, 0]}, r"hidden\[1\] must be a whole number, 1 or more; it is 0"),
    ({"hidden": [128]}, "hidden sizes the layers of network 'mlp'; 'lenet' has none"),
    ({"pretrained": "true"}, "pretrained must be true or false"),
    ({"pretrained": True}, "pretrained is for torchvision's networks; 'lenet'"),
    ({"lr": "0.1"}, "lr must be a number, 0 or more; it is '0.1'; write it without quotes"),
    ({"lr": -0.1}, "lr must be a number, 0 or more; it is -0.1"),
    ({"lr": float("nan")}, "lr must be a number, 0 or more; it is nan"),
    ({"lr": float("inf")}, "lr must be a number, 0 or more; it is inf"),
    ({"lr": True}, "lr must be a number"),
    ({"weight_decay": None}, "weight_decay must be a number"),
    ({"momentum": -1}, "momentum must be a number"),
    ({"momentum": 0.9}, "unknown argument of optimizer 'adam': 'momentum'"),
    ({"batch_size": 0}, "batch_size must be a whole number, 1 or more; it is 0"),
    ({"batch_size": 10.5}, "batch_size must be a whole number, 1 or more; it is 10.5"),
    ({"batch_size": True}, "batch_size must be a whole number"),
    ({"batch_size": [1, 2]}, r"batch_size must be a whole number, 1 or more; it is \[1, 2\]"),
    ({"batch_size": float("inf")}, "batch_size must be a whole number"),
    ({"shuffle": 0}, "shuffle must be true or false"),
    ({"channels_last": 1}, "channels_last must be true or false; it is 1"),
    ({"num_workers": -1}, "num_workers must be a whole number, 0 or more"),
    ({"device": "gpu"}, "device must be one of auto, cpu, cuda; it is 'gpu'"),
    ({"optimizer": 3}, "optimizer must be a name"),
    ({"optimizer": {"momentum": 0.9}}, "optimizer must be a name"),
    ({"optimizer": "adamm"}, "unknown optimizer 'adamm'; did you mean 'adam'?"),
    ({"optimizer": "lbfgs"}, "unknown optimizer 'lbfgs'"),
    ({"optimizer": {"name": "sgd", "nestrov": True}}, "unknown argument of optimizer 'sgd': 'nestrov'; did you"),
    ({"optimizer": {"name": "sgd", "nesterov": True}}, "optimizer 'sgd' cannot be made of .*Nesterov"),
    ({"optimizer": {"name": "adam", "betas": 3}}, "optimizer 'adam' cannot be made of"),
    ({"optimizer": {"name": "sgd", "lr": -1}}, r"optimizer\.lr must be a number, 0 or more; it is -1"),
    ({"optimizer": {"name": "sgd", "lr": 1}, "lr": 1}, r"lr and optimizer\.lr are both given"),
    ({"epochs": 0}, "epochs must be a whole number, 1 or more"),
    ({"seed": -1}, "seed must be a whole number, from 0 to 4294967295; it is -1"),
    ({"seed": 2**32}, "seed must be a whole number, from 0 to 4294967295"),
    ({"seed": None}, "seed must be a whole number"),
    ({"histograms": -1}, "histograms must be a whole number, 0 or more"),
    ({"histograms": "all"}, "histograms must be a whole number"),
    ({"image_size": 0}, "image_size must be a whole number, 1 or more; it is 0"),
    ({"image_size": 32}, "image_size is for pictures, dataset \"folder:PATH\"; those of 'digits' have their size"),
    ({"schedule": "cosin"}, "schedule must be one of none, cosine, step, one-cycle, or a group"),
    ({"schedule": {"every": 2}}, "schedule must be one of none, cosine, step"),
    ({"schedule": ["step"]}, "schedule must be one of none, cosine, step"),
    ({"schedule": {"name": "step", "evry": 2}}, "unknown argument of schedule 'step': 'evry'; did you mean 'every'?"),
    ({"schedule": {"name": "step", "every": 0}}, r"schedule\.every must be a whole number, 1 or more; it is 0"),
    ({"schedule": {"name": "step", "factor": -1}}, r"schedule\.factor must be a number, 0 or more; it is -1"),
    ({"schedule": "one-cycle", "warmup": 1}, "schedule one-cycle begins with a warm-up of its own; leave warmup out"),
    ({"warmup": -1}, "warmup must be a number, 0 or more; it is -1"),
    ({"label_smoothing": 1}, "label_smoothing must be less than 1; it is 1"),
    ({"ema": 1.0}, r"ema must be less than 1; it is 1\.0"),
    ({"augment": "crop"}, "augment must be one of none, flip, crop-flip; it is 'crop'"),
    ({"precision": "fp32"}, "precision must be one of float32, bf16, fp16; it is 'fp32'"),
    ({"compile": "yes"}, "compile must be true or false; it is 'yes'"),
    ({"images": 8}, "images must be true or false"),
    ({"graph": None}, "graph must be true or false"),
]


@pytest.mark.parametrize(("config", "message"), BAD, ids=[str(config) for config, _ in BAD])
def test_bad_value_names_its_key(config: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainableError, match=message):
        train({"limit": 20, **config})


def test_every_option_has_a_bad_value() -> None:
    tried = {key for config, _ in BAD for key in config}
    assert set(Options.__dataclass_fields__) <= tried


def test_cuda_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(TrainableError, match='this trial sees no GPU: give trials one, "resources"'):
        train({"device": "cuda"})


def test_whole_floats_are_whole_numbers() -> None:
    options = Options.of({"batch_size": 32.0, "seed": 7.0, "histograms": True, "hidden": [8.0]})
    assert (options.batch_size, options.seed, options.histograms, options.hidden) == (32, 7, 1, (8,))
    assert isinstance(options.batch_size, int)


def test_optimizer_arguments_come_from_both_places() -> None:
    options = Options.of({"optimizer": {"name": "sgd", "lr": 0.5, "nesterov": True}, "momentum": 0.9})
    assert options.optimizer_name == "sgd"
    assert options.optimizer_arguments == {
        "lr": 0.5,
        "weight_decay": 0.0,
        "momentum": 0.9,
        "nesterov": True,
    }


def test_finding_the_trainable_loads_no_torch() -> None:
    code = (
        "import sys; from importlib import import_module\n"
        "train = getattr(import_module('raysweep.vision'), 'train')\n"
        "assert callable(train) and train.__name__ == 'train'\n"
        "loaded = {'torch', 'torchvision', 'sklearn', 'ray'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
        "import raysweep.vision as vision\n"
        "assert all(callable(getattr(vision, name)) for name in dir(vision))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
