from __future__ import annotations

import dataclasses
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysweep.errors import TrainableError
from raysweep.plan.reference import Reference, import_trainable, locate


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test imports is forgotten after it."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = {*sys.modules}
    yield
    for name in sys.modules.keys() - before:
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "training.py").write_text("import sys\nfrom mine import other\ndef train(config): return other.x\n")
    (package / "other.py").write_text("x = 7\n")
    return tmp_path


def write(folder: Path, source: str, name: str = "script_of_a_test.py") -> Reference:
    (folder / name).write_text(source)
    return Reference(f"{name}:train", folder)


class TestLocate:
    @pytest.mark.parametrize(
        "source",
        [
            "def train(config): ...",
            "async def train(config): ...",
            "class train: ...",
            "train = make()",
            "train: object = make()",
            "first, train = make()",
            "import train",
            "from other import train",
            "from other import something as train",
            "from other import *",
            "if True:\n    def train(config): ...",
            "try:\n    from a import train\nexcept ImportError:\n    from b import train",
            "with open('x') as train: ...",
            "for train in (): ...",
            "def make():\n    global train\n    train = 1\nmake()",
            "def __getattr__(name): ...",
            "if (train := make()): ...",
        ],
    )
    def test_finds_each_way_to_define_a_name(self, folder: Path, source: str) -> None:
        assert locate(write(folder, source)) == folder / "script_of_a_test.py"

    @pytest.mark.parametrize(
        "source",
        [
            "def other(config):\n    def train(): ...",
            "class Other:\n    def train(self): ...",
            "other = lambda: (train := 1)",
            "train",
            "'train'",
            "trian = 1",
            "",
        ],
    )
    def test_refuses_a_name_that_is_not_defined(self, folder: Path, source: str) -> None:
        with pytest.raises(TrainableError, match="has no 'train'"):
            locate(write(folder, source))

    def test_imports_nothing(self, folder: Path) -> None:
        assert locate(write(folder, "raise SystemExit\ndef train(config): ...")) is not None
        assert locate(Reference("mine.training:train", folder)) == folder / "mine" / "training.py"
        assert "mine" not in sys.modules

    def test_finds_a_package(self, folder: Path) -> None:
        (folder / "mine" / "__init__.py").write_text("def train(config): ...")
        assert locate(Reference("mine:train", folder)) == folder / "mine" / "__init__.py"

    def test_takes_an_absolute_path(self, folder: Path) -> None:
        write(folder, "def train(config): ...")
        reference = Reference(f"{folder}/script_of_a_test.py:train", Path("/"))
        assert locate(reference) == folder / "script_of_a_test.py"

    # math is in a file of its own in some Pythons, and a part of them in others
    @pytest.mark.parametrize("module", ["math", "sys", "sys.monitoring", "_struct"])
    def test_refuses_what_is_built_into_python(self, folder: Path, module: str) -> None:
        with pytest.raises(TrainableError, match=f"'{module}' is built into Python .* \"train.py:train\""):
            locate(Reference(f"{module}:sqrt", folder))

    def test_refuses_a_folder_that_is_no_package(self, folder: Path) -> None:
        (folder / "mine" / "__init__.py").unlink()
        with pytest.raises(TrainableError, match=r"'mine' is a folder .* such as \"mine.train:main\""):
            locate(Reference("mine:main", folder))
        assert locate(Reference("mine.training:train", folder)) == folder / "mine" / "training.py"

    def test_cannot_look_into_what_is_compiled(self, folder: Path) -> None:
        reference = Reference("pydantic_core._pydantic_core:SchemaValidator", folder)  # in Rust
        assert locate(reference) is None
        with pytest.raises(TrainableError, match="no step"):
            import_trainable(reference)

    @pytest.mark.parametrize("length", [500, 5000])
    def test_stands_long_expressions(self, folder: Path, length: int) -> None:
        assert locate(write(folder, "x = " + "+".join(["1"] * length) + "\ndef train(config): ...")) is not None


class TestLoad:
    def test_imports_a_module_beside_the_sweep_file(self, folder: Path) -> None:
        assert import_trainable(Reference("mine.training:train", folder))({}) == 7

    def test_imports_a_file_with_what_is_beside_it(self, folder: Path) -> None:
        assert import_trainable(write(folder, "from mine.other import x\ndef train(config): return x"))({}) == 7

    def test_gives_the_same_function_again(self, folder: Path) -> None:
        reference = write(folder, "def train(config): ...")
        assert import_trainable(reference) is import_trainable(reference)

    def test_tells_files_of_the_same_name_apart(self, folder: Path) -> None:
        here = import_trainable(write(folder, "def train(config): return 'here'", "train.py"))
        there = import_trainable(write(folder / "mine", "def train(config): return 'there'", "train.py"))
        assert (here({}), there({})) == ("here", "there")

    def test_makes_classes_that_pickle_finds(self, folder: Path) -> None:
        source = """\
import dataclasses
@dataclasses.dataclass
class Point:
    x: int
def train(config): return Point(3)
"""
        point = import_trainable(write(folder, source))({})
        assert dataclasses.asdict(pickle.loads(pickle.dumps(point))) == {"x": 3}

    def test_leaves_no_half_of_a_module(self, folder: Path) -> None:
        reference = write(folder, "def train(config): ...\n1 / 0")
        for _ in range(2):
            with pytest.raises(
                TrainableError, match=r"ZeroDivisionError: division by zero \(.*script_of_a_test.py, line 2\)"
            ):
                import_trainable(reference)
        assert "script_of_a_test" not in sys.modules

    @pytest.mark.parametrize(
        "source",
        [
            "def train(config): ...",
            "def train(config, more=1): ...",
            "def train(*args): ...",
            "def train(config, *, verbose=False): ...",
            "import functools\ndef two(a, b): ...\ntrain = functools.partial(two, b=1)",
            "class Callable:\n    def __call__(self, config): ...\ntrain = Callable()",
        ],
    )
    def test_takes_whatever_can_be_called_with_a_configuration(self, folder: Path, source: str) -> None:
        import_trainable(write(folder, source))({})

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("def train(): ...", r"train\(\) must take one argument"),
            ("def train(a, b): ...", r"train\(a, b\) must take one argument"),
            ("def train(*, config): ...", r"train\(\*, config\) must take one argument"),
            ("async def train(config): ...", "is async"),
            ("async def train(config):\n    yield", "is async"),
            ("train = 3", "is a int"),
            ("class train: ...", "not a ray.tune.Trainable"),
            ("if False:\n    train = 1", "has no 'train'"),
        ],
    )
    def test_refuses_what_cannot(self, folder: Path, source: str, message: str) -> None:
        with pytest.raises(TrainableError, match=message):
            import_trainable(write(folder, source))
