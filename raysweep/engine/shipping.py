"""Which files of a sweep file's directory a cluster gets: the code, and neither results, data nor secrets."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from raysweep.errors import ClusterError

LIMIT = 100 * 2**20  # bytes, packed, that Ray takes
LARGEST = 5  # so many files are named where it is more
GITIGNORE = ".gitignore"
NEVER = ("__pycache__", ".git", ".hg", ".svn")  # nobody looks for these among the code
MARKS = ("pyvenv.cfg", "CACHEDIR.TAG")  # in a directory that a program has made, and can make again
HEAPS = {"runs": "results", "data": "data"}  # beside the sweep file, where there is no code in them
SECRET = re.compile(
    r"""\.envrc|\.env(?!\.(example|sample|template|dist)$)(\..+)?
    |id_(rsa|dsa|ecdsa|ed25519)(_sk)?|.+\.(pem|key|p12|pfx|jks|kdbx)|\.(netrc|pgpass|pypirc|htpasswd|git-credentials)
    |(?!.*\.pyi?$)(.*[._-])?(tokens?(\.\w+)?(?<!added_tokens\.json)|(secrets?|credentials?)([._-].*)?)
    |\.(ssh|aws|azure|gnupg|kube|kaggle)|kaggle\.json|service[._-]?account.*\.json""",
    re.IGNORECASE | re.VERBOSE,
)

_IsIgnored = Callable[[str], bool]  # of a path that is relative to the directory; a directory's ends in "/"


@dataclass(frozen=True)
class Shipment:
    """What a cluster gets of a directory.

    Attributes:
        directory: whose files they are.
        files: their paths relative to it, in order.
        left_out: of other paths why they stay here; a directory's ends in "/".
    """

    directory: Path
    files: tuple[str, ...]
    left_out: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return sum((self.directory / name).stat().st_size for name in self.files)

    @contextmanager
    def packed(self) -> Iterator[Path]:
        """The files as a zip file, for the length of the block; the same files give the same bytes.

        Raises:
            ClusterError: they are more than Ray takes, or cannot be read.
        """
        with tempfile.TemporaryDirectory(prefix="raysweep-") as folder:
            package = Path(folder, "code.zip")
            try:
                with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as file:
                    for name in self.files:
                        _pack(file, name, self.directory / name)
            except (OSError, ValueError) as error:  # a name may be one that no zip file can have
                raise ClusterError(f"{self.directory}: cannot be packed for the cluster: {error}") from None
            if package.stat().st_size > LIMIT:
                raise ClusterError(self._too_large())
            yield package

    def _too_large(self) -> str:
        sizes = {name: (self.directory / name).stat().st_size for name in self.files}
        largest = sorted(sizes, key=lambda name: -sizes[name])[:LARGEST]
        told = ", ".join(f"{name} ({sizes[name] / 2**20:.0f} MiB)" for name in largest)
        return (
            f"{self.directory}: what a cluster would get is more than {LIMIT / 2**20:.0f} MiB; largest: {told}. Put "
            f"what is no code into {GITIGNORE}, and data where all nodes reach it"
        )


@dataclass(frozen=True)
class Code:
    """What a sweep's trials need of a directory.

    Attributes:
        directory: the sweep file's.
        needed: files that are shipped in any case, such as the training function's.
        asked: files and directories, relative to it, that would be left out, and are not to be.
        runs: where the results are.
    """

    directory: Path = Path()
    needed: Sequence[Path] = ()
    asked: Sequence[str] = ()
    runs: Path | None = None

    def shipment(self) -> Shipment:
        """What of it a cluster gets.

        Raises:
            ClusterError: what is needed or asked for is not there, or lies elsewhere.
        """
        root = self.directory.resolve()
        left_out: dict[str, str] = {}
        files = set(_wanted(root, _ignored(root), self.runs.resolve() if self.runs else None, left_out))
        for path in [*self.needed, *(root / text for text in self.asked)]:
            files |= set(_below(root, path))
        left = {name: why for name, why in left_out.items() if name not in files}
        return Shipment(root, tuple(sorted(files)), left)


def _wanted(root: Path, is_ignored: _IsIgnored, runs: Path | None, left_out: dict[str, str]) -> Iterator[str]:
    """The files to be shipped; fills in why others are not."""

    def refused(name: str, path: Path) -> str | None:
        if name.rstrip("/") in HEAPS and path.is_dir() and not any(path.glob("*.py")):
            return HEAPS[name.rstrip("/")]
        if name.endswith("/") and path.resolve() == runs:
            return HEAPS["runs"]
        if is_ignored(name):
            return GITIGNORE
        return "may be secret" if SECRET.fullmatch(path.name) else None

    def enter(path: Path, name: str) -> bool:
        if (why := refused(name, path)) and not (path.is_dir() and _is_empty(path)):
            left_out[name] = why
        return not why

    return _files(root, enter)


def _files(root: Path, enter: Callable[[Path, str], bool], above: tuple[Path, ...] = (), at: str = "") -> Iterator[str]:
    """The files below a directory, of what `enter` lets pass; a link that leads back up ends there."""
    here = root / at
    if here.resolve() in above:
        return
    for path in sorted(here.iterdir()):
        is_directory = path.is_dir()
        name = f"{at}{path.name}{'/' if is_directory else ''}"
        if _is_made(path) or not (is_directory or path.is_file()) or not enter(path, name):
            continue
        if is_directory:
            yield from _files(root, enter, (*above, here.resolve()), name)
        else:
            yield name


def _is_made(path: Path) -> bool:
    """Whether a path is one that programs make, and nobody writes."""
    return path.name in NEVER or path.suffix == ".pyc" or any((path / mark).is_file() for mark in MARKS)


def _is_empty(directory: Path) -> bool:
    return next(directory.iterdir(), None) is None


def _below(root: Path, path: Path) -> Iterator[str]:
    """A file, or all files of a directory, relative to the root."""
    place = Path(os.path.normpath(root / path))
    if not place.is_relative_to(root):
        raise ClusterError(f"{path}: lies outside of {root}, and only that directory is shipped to a cluster; move it")
    if place.is_file():
        yield str(place.relative_to(root))
    elif place.is_dir():
        at = "" if place == root else f"{place.relative_to(root)}/"
        yield from _files(root, lambda path, name: True, at=at)
    else:
        raise ClusterError(f"{path}: is to be shipped to a cluster, and there is no such file or directory")


def _ignored(root: Path) -> _IsIgnored:
    """What git ignores; without git, or outside a repository, what the directory's own files of it say."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return _ignored_by_files(root)
    names = {os.fsdecode(name).rstrip("/") for name in listed.split(b"\0") if name}
    known = names | {str(parent) for name in names for parent in Path(name).parents}

    def is_ignored(name: str) -> bool:
        path = Path(name)
        # of another repository inside this one, as of a link, git lists only the place
        return str(path) not in known and not any(str(parent) in names for parent in path.parents)

    return is_ignored


def _ignored_by_files(root: Path) -> _IsIgnored:
    from pathspec import GitIgnoreSpec

    specs: dict[Path, GitIgnoreSpec] = {}

    def spec(folder: Path) -> GitIgnoreSpec:
        if folder not in specs:
            file = root / folder / GITIGNORE
            text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
            specs[folder] = GitIgnoreSpec.from_lines(text.splitlines())
        return specs[folder]

    def is_ignored(name: str) -> bool:
        for folder in Path(name).parents:  # the nearest file that says anything of it decides
            said = spec(folder).check_file(name[len(str(folder)) + 1 :] if folder != Path() else name).include
            if said is not None:
                return said
        return False

    return is_ignored


def _pack(file: zipfile.ZipFile, name: str, path: Path) -> None:
    info = zipfile.ZipInfo(name)  # of 1980: what is the same today is not shipped anew
    info.external_attr = (stat.S_IFREG | stat.S_IMODE(path.stat().st_mode)) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    file.writestr(info, path.read_bytes())
