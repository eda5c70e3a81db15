"""The fingerprint of the training code changes with every file of the user's own that it imports, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysweep.plan.fingerprint import fingerprint, sources
from raysweep.plan.reference import Reference

TRAIN = "def train(config): ...\n"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def counted(root: Path, trainable: str, directory: str = ".") -> set[str]:
    """The files that count, relative to `root`."""
    return {str(path.relative_to(root)) for path in sources(Reference(trainable, root / directory))}


@pytest.mark.parametrize(
    ("trainable", "files", "expected"),
    [
        pytest.param(
            "train.py:train",
            {"train.py": "import model, other.part\n" + TRAIN, "model.py": "import deep", "deep.py": "", "no.py": "",
             "other/__init__.py": "", "other/part.py": "", "other/no.py": ""},
            {"train.py", "model.py", "deep.py", "other/__init__.py", "other/part.py"},
            id="beside it",
        ),
        pytest.param(
            "mypkg.train:train",
            {"mypkg/__init__.py": "", "mypkg/train.py": "from mypkg.model import Net\n" + TRAIN, "mypkg/no.py": "",
             "mypkg/model.py": "from mypkg.parts import layer", "mypkg/parts/layer.py": ""},
            {"mypkg/train.py", "mypkg/__init__.py", "mypkg/model.py", "mypkg/parts/layer.py"},
            id="by the package's name",
        ),
        pytest.param(
            "mypkg.train:train",
            {"mypkg/train.py": "from mypkg.model import Net\nimport tools\n" + TRAIN, "mypkg/model.py": "",
             "tools.py": "", "no.py": ""},
            {"mypkg/train.py", "mypkg/model.py", "tools.py"},
            id="a package without __init__.py, and a module beside the sweep file",
        ),
        pytest.param(
            "mypkg/train.py:train",
            {"mypkg/__init__.py": "", "mypkg/train.py": "from mypkg.model import Net\n" + TRAIN, "mypkg/model.py": ""},
            {"mypkg/train.py", "mypkg/__init__.py", "mypkg/model.py"},
            id="a file in a package",
        ),
        pytest.param(
            "a.b.train:train",
            {"a/__init__.py": "", "a/b/__init__.py": "", "a/b/near.py": "", "a/far.py": "", "near.py": "", "far.py": "",
             "a/b/train.py": "from .near import x\nfrom ..far import y\nfrom . import also\n" + TRAIN,
             "a/b/also.py": ""},
            {"a/__init__.py", "a/b/__init__.py", "a/b/train.py", "a/b/near.py", "a/far.py", "a/b/also.py"},
            id="relatively",
        ),
        pytest.param(
            "mypkg:train",
            {"mypkg/__init__.py": "from mypkg.main import train\n", "mypkg/main.py": "from . import part\n" + TRAIN,
             "mypkg/part.py": ""},
            {"mypkg/__init__.py", "mypkg/main.py", "mypkg/part.py"},
            id="from the package itself",
        ),
        pytest.param(
            "train.py:train",
            {"train.py": "from . import x\nfrom ........ import y\nimport train\n" + TRAIN, "x.py": "(", "y.py": ""},
            {"train.py", "x.py"},
            id="what cannot be imported",
        ),
    ],
)  # fmt: skip
def test_files_that_are_imported_count(
    tmp_path: Path, trainable: str, files: dict[str, str], expected: set[str]
) -> None:
    write(tmp_path, files)
    assert counted(tmp_path, trainable) == expected
    reference = Reference(trainable, tmp_path)
    before = fingerprint(reference)
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n# changed\n")
        assert (fingerprint(reference) != before) == (name in expected), name
        (tmp_path / name).write_text(text)
    assert fingerprint(reference) == before


def test_installed_packages_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site-packages"
    write(site, {"theirs/__init__.py": "", "theirs/train.py": "import other, theirs.part\n" + TRAIN,
                 "theirs/part.py": "", "other.py": ""})  # fmt: skip
    monkeypatch.syspath_prepend(site)
    (tmp_path / "sweeps").mkdir()
    assert counted(tmp_path, "theirs.train:train", "sweeps") == {
        "site-packages/theirs/train.py", "site-packages/theirs/__init__.py", "site-packages/theirs/part.py",
    }  # fmt: skip


def test_one_of_rays_counts_without_the_rest_of_ray(tmp_path: Path) -> None:
    found = sources(Reference("ray.tune.examples.pbt_function:pbt_function", tmp_path))
    assert [file.name for file in found] == ["pbt_function.py"]


def test_the_reference_trainable_counts_without_the_rest_of_raysweep(tmp_path: Path) -> None:
    names = {path.name for path in sources(Reference("raysweep.vision:train", tmp_path))}
    assert {"trainable.py", "networks.py", "data.py", "training.py"} <= names
    root = Path(__file__).parents[1]
    for directory in (tmp_path, root):
        files = sources(Reference("raysweep.vision:train", directory))
        assert all(path.is_relative_to(root / "raysweep/vision") for path in files)


def test_of_one_file_it_is_what_it_has_always_been(tmp_path: Path) -> None:
    write(tmp_path, {"train.py": "import part\n" + TRAIN, "part.py": "x = 1\n"})
    assert fingerprint(Reference("train.py:train", tmp_path)) == "815016ed2e"
