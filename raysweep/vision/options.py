"""The options of the reference trainable: their names, defaults and bounds. Loads no PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from numbers import Real
from typing import Any

from raysweep.errors import TrainableError

Check = Callable[[str, Any], Any]  # (key, value) -> the value to use; raises TrainableError

DEVICES = ("auto", "cpu", "cuda")
SHOWN = 25  # names in an error, of which torchvision has 80
SCHEDULES = {"none": {}, "cosine": {}, "step": {"every": 30.0, "factor": 0.1}, "one-cycle": {}}  # with their arguments
AUGMENTATIONS = ("none", "flip", "crop-flip")
PRECISIONS = ("float32", "bf16", "fp16")
OPTIMIZER_KEYS = ("lr", "weight_decay", "momentum")  # may stand at the top or in the optimizer's group


def unknown(what: str, name: object, known: Iterable[str]) -> TrainableError:
    """The error for a name that is none of `known`; it tells the nearest, or what there is."""
    names = {known_name.lower(): known_name for known_name in sorted(known)}
    near = get_close_matches(str(name).lower(), names, n=1)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    shown = f"there are {', '.join(list(names.values())[:SHOWN])}{more}"
    return TrainableError(f"unknown {what} {name!r}; {f'did you mean {names[near[0]]!r}?' if near else shown}")


def _integer(minimum: int, maximum: float = math.inf) -> Check:
    def check(key: str, value: Any) -> int:
        # 32.0 is what a quantised distribution draws, and what JSON makes of 3.2e1.
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
        if not number.is_integer() or not minimum <= number <= maximum:
            bounds = f"{minimum} or more" if maximum == math.inf else f"from {minimum} to {maximum:.0f}"
            raise TrainableError(f"{key} must be a whole number, {bounds}; it is {value!r}")
        return int(value)

    return check


def _number(key: str, value: Any) -> float:
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not 0 <= number < math.inf:
        hint = "; write it without quotes, YAML wants 1.0e-3" if isinstance(value, str) else ""
        raise TrainableError(f"{key} must be a number, 0 or more; it is {value!r}{hint}")
    return number


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TrainableError(f"{key} must be true or false; it is {value!r}")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TrainableError(f"{key} must be text; it is {value!r}")
    return value


def _one_of(*choices: str) -> Check:
    def check(key: str, value: Any) -> str:
        if value not in choices:
            raise TrainableError(f"{key} must be one of {', '.join(choices)}; it is {value!r}")
        return str(value)

    return check


def _every(key: str, value: Any) -> int:
    return int(value) if isinstance(value, bool) else int(_integer(0)(key, value))


def _optimizer(key: str, value: Any) -> str | dict[str, Any]:
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        group = {str(name): argument for name, argument in value.items()}
        return group | {name: _number(f"{key}.{name}", group[name]) for name in OPTIMIZER_KEYS if name in group}
    if isinstance(value, str) and value:
        return value
    raise TrainableError(
        f'{key} must be a name, such as "sgd", or a group with one, such as '
        f'{{"name": "sgd", "momentum": 0.9}}; it is {value!r}'
    )


def _schedule(key: str, value: Any) -> str | dict[str, Any]:
    group = dict(value) if isinstance(value, Mapping) else {"name": value}
    name = group.pop("name", None)
    if not isinstance(name, str) or name not in SCHEDULES:
        raise TrainableError(
            f"{key} must be one of {', '.join(SCHEDULES)}, or a group with such a name, as "
            f'{{"name": "step", "every": 30, "factor": 0.1}}; it is {value!r}'
        )
    for argument in group:
        if argument not in SCHEDULES[name]:
            raise unknown(f"argument of schedule {name!r}:", argument, SCHEDULES[name])
    checked = {"every": _integer(1), "factor": _number}
    return {"name": name, **{argument: checked[argument](f"{key}.{argument}", group[argument]) for argument in group}}


def _below_one(key: str, value: Any) -> float:
    number = _number(key, value)
    if number >= 1:
        raise TrainableError(f"{key} must be less than 1; it is {value!r}")
    return number


def _sizes(key: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise TrainableError(f"{key} must be a list of layer sizes, such as [128, 64]; it is {value!r}")
    return tuple(_integer(1)(f"{key}[{index}]", size) for index, size in enumerate(value))


def _unless_none(check: Check) -> Check:
    return lambda key, value: None if value is None else check(key, value)


def _option(default: Any, check: Check) -> Any:
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True)
class Options:
    """What `raysweep.vision:train` can be told. Make one with `Options.of(config)`, which checks it.

    Attributes:
        dataset: digits, fashion_mnist, mnist, kmnist, cifar10, or "folder:PATH": pictures in PATH/train/CLASS and
            PATH/val/CLASS, or in PATH/CLASS, of which a fifth is for validation. They are decoded once for all trials
            on a machine where they fit into half of its free memory, else batch by batch, by `num_workers` processes.
        data_dir: where the data sets are, as torchvision lays them out, and where they are downloaded to.
        image_size: the height and width in pixels that pictures of a folder are brought to: scaled to cover it, and
            cut. None where all of them have one size.
        limit: train on the first so many samples only, and validate on the first fifth as many.
        normalize: whether to normalise the images by the training set's mean and standard deviation.
        network: lenet, lenet_bn, mlp, a name of torchvision.models such as resnet18, or "file.py:Class".
        hidden: the sizes of mlp's hidden layers; [128, 64] where it is None.
        pretrained: whether a torchvision network starts from its ImageNet weights.
        optimizer: the name of one of torch.optim's, or a group of it and its arguments.
        lr: the learning rate.
        weight_decay: the optimizer's.
        momentum: the optimizer's, where it has one: sgd, rmsprop.
        schedule: of the learning rate, step by step: none, cosine (down to 0), step (times `factor` after `every`
            epochs: 0.1 after 30, or a group of the name and these) or one-cycle (up for 3 tenths of the steps, then
            down).
        warmup: epochs, whole or not, in which the learning rate rises from 0 before the schedule takes over.
        label_smoothing: how much of each label is spread over all classes, in training.
        ema: how much each step keeps of the moving average of the weights, 0.999 for example, which is what is
            validated and kept; 0 to keep the weights themselves.
        augment: what is done to each batch in training, on the device: none, flip (left and right, half of the images)
            or crop-flip (moved by up to an eighth of the size as well).
        batch_size: samples per step.
        shuffle: whether the samples are in another order every epoch.
        num_workers: processes that load batches; the data are in memory, so 0 is usually fastest.
        device: auto is cuda where there is a GPU, else cpu.
        precision: float32, bf16 or fp16; the latter two by torch.autocast, and fp16 with its loss scaled.
        compile: whether torch.compile makes the network faster, which takes a minute to begin with.
        channels_last: whether network and images are laid out with the channels last: convolutions are faster as a
            rule, and numbers differ by rounding.
        epochs: how often the training set is gone through.
        seed: of the initial weights and of the order of samples.
        histograms: every how many epochs to write histograms; 0 or false for never.
        images: whether to write a grid of the first batch.
        graph: whether to write the network's graph.
    """

    dataset: str = _option("digits", _text)
    data_dir: str = _option("data", _text)
    image_size: int | None = _option(None, _unless_none(_integer(1)))
    limit: int | None = _option(None, _unless_none(_integer(1)))
    normalize: bool = _option(False, _flag)
    network: str = _option("lenet", _text)
    hidden: tuple[int, ...] | None = _option(None, _unless_none(_sizes))
    pretrained: bool = _option(False, _flag)
    optimizer: str | Mapping[str, Any] = _option("adam", _optimizer)
    lr: float = _option(0.01, _number)
    weight_decay: float = _option(0.0, _number)
    momentum: float = _option(0.0, _number)
    schedule: str | Mapping[str, Any] = _option("none", _schedule)
    warmup: float = _option(0.0, _number)
    label_smoothing: float = _option(0.0, _below_one)
    ema: float = _option(0.0, _below_one)
    augment: str = _option("none", _one_of(*AUGMENTATIONS))
    batch_size: int = _option(100, _integer(1))
    shuffle: bool = _option(True, _flag)
    num_workers: int = _option(0, _integer(0))
    device: str = _option("auto", _one_of(*DEVICES))
    precision: str = _option("float32", _one_of(*PRECISIONS))
    compile: bool = _option(False, _flag)
    channels_last: bool = _option(False, _flag)
    epochs: int = _option(5, _integer(1))
    seed: int = _option(0, _integer(0, 2**32 - 1))  # numpy's bounds, the narrowest
    histograms: int = _option(1, _every)
    images: bool = _option(True, _flag)
    graph: bool = _option(True, _flag)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Options:
        """The options that `config` gives.

        Raises:
            TrainableError: a key is unknown, a value cannot be used, or one is given in two places.
        """
        checks: dict[str, Check] = {option.name: option.metadata["check"] for option in fields(cls)}
        for key in config:
            if key not in checks:
                raise unknown("key", key, checks)
        optimizer = config.get("optimizer")
        group = optimizer if isinstance(optimizer, Mapping) else {}
        for key in OPTIMIZER_KEYS:
            if key in config and key in group:
                raise TrainableError(f"{key} and optimizer.{key} are both given; leave one of them out")
        options = cls(**{key: checks[key](key, value) for key, value in config.items()})
        if options.schedule_name == "one-cycle" and options.warmup:
            raise TrainableError("schedule one-cycle begins with a warm-up of its own; leave warmup out")
        return options

    @property
    def schedule_name(self) -> str:
        """The schedule's name, such as "cosine"."""
        return self.schedule if isinstance(self.schedule, str) else str(self.schedule["name"])

    @property
    def schedule_arguments(self) -> dict[str, Any]:
        """The schedule's arguments, its own defaults among them."""
        group = {} if isinstance(self.schedule, str) else self.schedule
        return SCHEDULES[self.schedule_name] | {key: value for key, value in group.items() if key != "name"}

    @property
    def optimizer_name(self) -> str:
        """The optimizer's name, such as "sgd"."""
        return self.optimizer if isinstance(self.optimizer, str) else str(self.optimizer["name"])

    @property
    def optimizer_arguments(self) -> dict[str, Any]:
        """The optimizer's arguments, those of its group before those beside it."""
        group = {} if isinstance(self.optimizer, str) else self.optimizer
        beside = {"lr": self.lr, "weight_decay": self.weight_decay, "momentum": self.momentum}
        return beside | {key: value for key, value in group.items() if key != "name"}
