"""Which files a cluster gets of a sweep's directory: exactly those that a person would expect."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from raysweep.cli import program as cli
from raysweep.engine import shipping
from raysweep.engine.shipping import SECRET, Code, Shipment
from raysweep.errors import ClusterError
from tests.conftest import SweepFile

CODE = ["README.md", "grid.json", "mypkg/__init__.py", "mypkg/data/loader.py", "mypkg/data/words.txt",
        "mypkg/model.py", "mypkg/runs/plan.py", "mypkg/tokenizer.json", "train.py"]  # fmt: skip
NO_CODE = ["runs/grid/sweep.json", "runs/grid/results.csv", "data/mnist/train.bin", ".git/config",
           "mypkg/__pycache__/model.pyc", ".venv/pyvenv.cfg", ".venv/lib/torch.py", "env/pyvenv.cfg", "env/x.py",
           ".mypy_cache/CACHEDIR.TAG", ".mypy_cache/x.json"]  # fmt: skip
SECRETS = [".env", ".env.production", "mypkg/.env", "id_rsa", "keys/server.pem", "auth_token", "hf-token.txt",
           ".netrc", "client_secret_12.json", ".aws/config", "deploy.key", "gcp.credentials.json"]  # fmt: skip


def write(root: Path, *names: str, text: str = "x") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    write(root, *CODE, *NO_CODE, *SECRETS)
    shutil.rmtree(root / ".git")
    return root


def files(root: Path, **options: object) -> list[str]:
    return list(Code(root, **options).shipment().files)  # type: ignore[arg-type]  # by the tests below


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x", *arguments], check=True,
                   capture_output=True)  # fmt: skip


def test_the_code_is_shipped_and_nothing_else(root: Path) -> None:
    shipment = Code(root).shipment()
    assert list(shipment.files) == CODE
    assert shipment.left_out["data/"] == "data" and shipment.left_out["runs/"] == "results"
    assert {name for name, why in shipment.left_out.items() if why == "may be secret"} == {
        name if name != ".aws/config" else ".aws/" for name in SECRETS
    }
    assert not any("pycache" in name or "venv" in name for name in shipment.left_out)  # of these nobody asks


@pytest.mark.parametrize("with_git", [True, False])
def test_what_git_ignores_stays_here(root: Path, with_git: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, ".gitignore", text="*.ckpt\n/big/\n!keep.ckpt\n# a comment\n")
    write(root, "mypkg/.gitignore", text="generated.py\n!good.ckpt\n")
    write(root, "a.ckpt", "keep.ckpt", "big/x.py", "other/big/x.py", "mypkg/generated.py", "generated.py")
    write(root, "mypkg/good.ckpt", "mypkg/sub/generated.py", "mypkg/sub/bad/a.ckpt")
    if with_git:
        git(root, "init", "-q")
    else:
        monkeypatch.setenv("PATH", "")
    shipped = files(root)
    added = {".gitignore", "mypkg/.gitignore", "keep.ckpt", "other/big/x.py", "generated.py", "mypkg/good.ckpt"}
    assert set(shipped) == {*CODE, *added}
    assert Code(root).shipment().left_out.items() >= {"a.ckpt": ".gitignore", "big/": ".gitignore"}.items()


def test_in_a_repository_it_is_what_git_knows(root: Path) -> None:
    """A sweep file in a folder of a repository, a file that was added in spite of .gitignore, and a submodule."""
    write(root, ".gitignore", text="*.json\nscratch/\n")
    sweeps = root / "mypkg"
    write(sweeps, "scratch/notes.py", "sub/module.py")
    git(root, "init", "-q")
    git(root, "add", "-f", "mypkg/tokenizer.json")
    git(sweeps / "sub", "init", "-q")
    git(sweeps / "sub", "add", ".")
    git(sweeps / "sub", "commit", "-qm", "x")
    assert files(sweeps) == ["__init__.py", "data/loader.py", "data/words.txt", "model.py", "runs/plan.py",
                             "sub/module.py", "tokenizer.json"]  # fmt: skip


def test_what_is_needed_or_asked_for_is_shipped_all_the_same(root: Path) -> None:
    write(root, ".gitignore", text="train.py\nextra/\n")
    write(root, "extra/a/b.py", "extra/.env")
    needed, asked = [root / "train.py"], [".env", "data", "extra/a", "keys/server.pem"]
    more = {".env", "data/mnist/train.bin", "extra/a/b.py", "keys/server.pem", ".gitignore"}
    shipment = Code(root, needed, asked).shipment()
    assert set(shipment.files) == {*CODE, *more}
    assert ".env" not in shipment.left_out


@pytest.mark.parametrize(("asked", "told"), [("nowhere.py", "there is no such file"), ("../else", "lies outside of")])
def test_what_cannot_be_shipped_is_told(root: Path, asked: str, told: str) -> None:
    with pytest.raises(ClusterError, match=told):
        files(root, asked=[asked])


def test_results_stay_here_wherever_they_are(root: Path) -> None:
    write(root, "mypkg/out/grid/results.csv")
    assert files(root, runs=root / "mypkg/out") == CODE


def test_a_package_called_data_is_code(root: Path) -> None:
    write(root, "data/__init__.py")
    assert {"data/__init__.py", "data/mnist/train.bin"} < set(files(root))


def test_links_are_followed_and_end(root: Path, tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/lib.py")
    (root / "lib").symlink_to(tmp_path / "elsewhere")
    (root / "mypkg/loop").symlink_to(root)
    (root / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(root / "pipe")
    assert files(root) == sorted([*CODE, "lib/lib.py"])


def test_an_archive_of_the_same_files_is_the_same(root: Path) -> None:
    (root / "train.py").chmod(0o755)
    with Code(root).shipment().packed() as package:
        before = package.read_bytes()
        with zipfile.ZipFile(package) as archive:
            assert archive.namelist() == CODE
            assert archive.getinfo("train.py").external_attr >> 16 & 0o777 == 0o755
    for name in CODE:
        os.utime(root / name, (0, 0))
    with Code(root).shipment().packed() as package:
        assert package.read_bytes() == before
    assert not package.exists()


def test_too_much_is_told_with_what_is_large(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "weights.bin").write_bytes(os.urandom(2**20))
    monkeypatch.setattr(shipping, "LIMIT", 2**19)
    with pytest.raises(ClusterError, match=r"largest: weights\.bin \(1 MiB\)"), Code(root).shipment().packed():
        raise AssertionError("shipped")


def test_a_name_that_no_archive_can_hold_is_told(root: Path) -> None:
    name = os.fsdecode(b"bad\xff.py")
    (root / name).write_text("x")
    with pytest.raises(ClusterError, match="cannot be packed"), Shipment(root, (name,), {}).packed():
        raise AssertionError("shipped")


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenization.py", "token.py", "secrets.py", "added_tokens.json",
                                  "special_tokens_map.json", "keyboard.py", "environment.yaml", ".env.example",
                                  "env.py", "id_rsa.pub", "token_embedding.pt", "monkey"])  # fmt: skip
def test_what_only_sounds_like_a_secret_is_none(name: str) -> None:
    assert not SECRET.fullmatch(name)


def test_a_dry_run_lists_the_files(
    sweep_file: SweepFile, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = sweep_file()
    write(grid.parent, ".env", "cluster.yaml", "runs/x")
    command = ["run", str(grid), "--cluster", str(grid.parent / "cluster.yaml"), "--dry-run"]
    assert cli.main(command) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith(f"a cluster gets 3 files of {grid.parent} (")
    told = ["  cluster.yaml", "  sweep.json", "  train.py", "and not (--ship PATH adds one):"]
    assert lines == [*told, "  .env  (may be secret)", "  runs/  (results)"]
    assert cli.main([*command, "--json", "--ship", ".env"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == [".env", "cluster.yaml", "sweep.json", "train.py"]
    assert cli.main(["run", str(grid), "--dry-run"]) == 2
    assert "--dry-run: is for --cluster" in capsys.readouterr().err
