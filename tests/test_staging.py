"""Where a node keeps what its processes leave each other: a directory that is this user's alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from raysweep.errors import StoreError
from raysweep.transfer.staging import node_directory


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is to be."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"raysweep-{os.geteuid()}"


def test_it_is_made_for_this_user_only_and_found_again(place: Path) -> None:
    before = os.umask(0)
    try:
        assert node_directory() == place
    finally:
        os.umask(before)
    assert place.stat().st_mode & 0o777 == 0o700
    (place / "file").touch()
    assert (node_directory() / "file").exists()


def link(place: Path) -> None:
    (place.parent / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(place.parent / "elsewhere")


def open_to(mode: int) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        place.mkdir()
        place.chmod(mode)

    return make


@pytest.mark.parametrize("make", [link, Path.touch, open_to(0o755), open_to(0o720), open_to(0o701)])
def test_another_thing_in_its_place_is_refused(place: Path, make: Callable[[Path], None]) -> None:
    make(place)
    with pytest.raises(StoreError, match="not a directory that only this user can use; remove it, or set TMPDIR"):
        node_directory()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to another user, which needs root")
def test_another_users_is_refused(place: Path) -> None:
    place.mkdir(mode=0o700)
    os.chown(place, 12345, 12345)
    with pytest.raises(StoreError, match="only this user"):
        node_directory()


def test_where_it_cannot_be_made_it_is_told(place: Path) -> None:
    place.parent.rmdir()
    with pytest.raises(StoreError, match="cannot be made: No such file or directory; set TMPDIR"):
        node_directory()
