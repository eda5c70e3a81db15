"""The tests of planning and results, and sweeps on real Ray, on another Python and on the oldest versions declared.

    .venv/bin/python .ci/other_versions.py [python] [oldest]

Each in an environment of its own, which takes from the one that runs this what does not depend on Python, or is large:
CUDA's libraries, gigabytes; and for the oldest versions PyTorch, whose floor is one of gigabytes, too. What cannot be
had, an interpreter or a wheel, is skipped, and this says so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
HERE = Path(sysconfig.get_path("purelib"))
OTHERS = ("3.14", "3.13", "3.12", "3.11")  # the first that is there, and not the one that runs this
CUDA = ("nvidia", "nvidia_*", "cuda_toolkit-*", "triton-*.dist-info")  # triton itself is made for one Python
PLANNING = (
    "bad_input", "columns", "defaults", "distributions", "fingerprint", "frames", "origin", "parameters",
    "reconciliation", "recorder", "reference", "results", "schema", "seeds", "spec", "store", "trials", "weights",
)  # fmt: skip
TELLING = """
import sys, importlib.metadata
names = ("ray", "torch", "numpy", "pandas", "pyarrow", "pydantic")
print("Python", sys.version.split()[0], *(f"{name} {importlib.metadata.version(name)}" for name in names), flush=True)
"""
SWEEPS = ("test_bad_functions.py", "test_docs.py::test_the_main_job")


class SkippedError(Exception):
    """What is needed cannot be had."""


def main(asked: list[str]) -> int:
    """Run those that are asked for, or all; 1 where one failed."""
    all_of_them: dict[str, Callable[[Path], None]] = {"python": on_another_python, "oldest": on_the_oldest}
    outcomes = [attempt(name, all_of_them[name]) for name in asked or all_of_them]
    return int(not all(outcomes))


def attempt(name: str, check: Callable[[Path], None]) -> bool:
    """Whether a check passed, or had to be skipped."""
    directory = Path(tempfile.mkdtemp(prefix="raysweep-versions-"))
    try:
        check(directory)
    except SkippedError as skipped:
        line = "!" * 100
        print(f"{line}\nSKIPPED, other versions ({name}): {skipped}\n{line}", file=sys.stderr, flush=True)
    except subprocess.CalledProcessError as failed:
        print(f"FAILED, other versions ({name}): {failed}", file=sys.stderr, flush=True)
        return False
    finally:
        shutil.rmtree(directory)
    return True


def on_another_python(directory: Path) -> None:
    """The newest of everything that is declared, but PyTorch as it is here, since its libraries are of one release."""
    interpreter = another_python()
    packages = environment(directory, interpreter)
    shared = directory / "shared"
    shared.mkdir()
    for pattern in CUDA:
        for found in HERE.glob(pattern):
            (shared / found.name).symlink_to(found)
    (packages / "shared.pth").write_text(str(shared))
    install(directory, [f"{name}=={version(name).partition('+')[0]}" for name in ("torch", "torchvision")])
    test(directory)


def on_the_oldest(directory: Path) -> None:
    """This Python with the floors of pyproject.toml, less PyTorch's; what has no floor of its own is what is here."""
    (environment(directory, sys.executable) / "here.pth").write_text(str(HERE))
    install(directory, [floor for floor in floors() if not floor.startswith("torch")])
    test(directory)


def another_python() -> str:
    """An interpreter on the path or among pyenv's.

    Raises:
        SkippedError: there is none but this.
    """
    this = f"{sys.version_info.major}.{sys.version_info.minor}"
    for wanted in OTHERS:
        for candidate in () if wanted == this else candidates(wanted):
            told = subprocess.run([candidate, "-c", "import venv, ensurepip"], capture_output=True, check=False)
            if told.returncode == 0:
                return str(candidate)
    raise SkippedError(f"no Python but {this} is installed; one of {', '.join(OTHERS)} is wanted")


def candidates(wanted: str) -> Iterator[Path]:
    """Where a Python of this version may be; a shim of pyenv's is there even where it leads nowhere."""
    if on_path := shutil.which(f"python{wanted}"):
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from (pyenv / "versions").glob(f"{wanted}.*/bin/python")


def floors() -> list[str]:
    """The oldest release of each dependency, as pip's constraints."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    found = [re.match(r"([\w-]+)(?:\[.*\])?>=([\d.]+)", line) for line in declared]
    return [f"{match[1]}=={match[2]}" for match in found if match]


def environment(directory: Path, interpreter: str) -> Path:
    """A new environment's site-packages."""
    subprocess.run([interpreter, "-m", "venv", directory / "env"], check=True)
    [packages] = (directory / "env/lib").glob("python*/site-packages")
    return packages


def install(directory: Path, constraints: list[str]) -> None:
    """Raysweep and all that its tests need.

    Raises:
        SkippedError: what is needed cannot be had. Versions that exclude each other are an error.
    """
    (directory / "constraints.txt").write_text("\n".join(constraints))
    command = [directory / "env/bin/python", "-m", "pip", "install", "--quiet", "--no-compile", "--editable", ".[test]"]
    print(f"\n== other versions: {' '.join(constraints)}", flush=True)
    done = subprocess.run(
        [*command, "--constraint", directory / "constraints.txt"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("WARNING"))
        if "ResolutionImpossible" in last:
            print(last, file=sys.stderr)
            done.check_returncode()
        raise SkippedError(f"pip could not install it:\n{last}")


def test(directory: Path) -> None:
    """Run the tests; the versions that they run with are told first."""
    python = directory / "env/bin/python"
    subprocess.run([python, "-c", TELLING], check=True)
    files = [*(f"tests/test_{name}.py" for name in PLANNING), *(f"tests/{name}" for name in SWEEPS)]
    less = ("-k", "not TrainingFunctions")  # each imports PyTorch, which depends on none of these versions
    subprocess.run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *less, *files], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
