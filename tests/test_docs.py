"""The README and the pages of docs/ say what is true: their commands and code run, their tables are complete."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

import raysweep
from raysweep.cli import exit_codes
from raysweep.cli import program as cli
from raysweep.errors import BROKEN_OFF
from raysweep.plan.suggested import to_come
from raysweep.plan.trials import plan
from raysweep.results.columns import OWN
from raysweep.store.records import State
from raysweep.sweepfile import members as model
from raysweep.sweepfile.distributions import ARGUMENTS
from raysweep.sweepfile.parsing import parse
from raysweep.sweepfile.schema import shipped
from raysweep.sweepfile.spec import SweepSpec, check
from tests.sweeps import content

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
NAVIGATION = [name for entry in yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"] for name in entry.values()]
PAGES = (ROOT / "README.md", *(DOCS / name for name in NAVIGATION))  # in the order in which they are read
DOCUMENTS = (*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md")
CHOICES = ("categorical", "categorical_w_probabilities")
LINES = 180  # of the README at most: the rest is in docs/


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the line of text before it, and what is in it."""

    language: str
    before: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that the block shows, where the line before it begins with a file's name."""
        named = re.match(r"`(\w+\.\w+)`.*[:.]$", self.before)
        return named[1] if named else None

    @property
    def commands(self) -> list[tuple[str, list[str]]]:
        """Of a console block, each command and the lines that it prints."""
        told: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                told.append((line.removeprefix("$ "), []))
            else:
                told[-1][1].append(line)
        return told


def blocks(document: Path, *languages: str) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    found = re.finditer(r"^([^\n]*)\n+```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(m[2], m[1], m[3]) for m in found if m[2] in languages]


def shown_files() -> dict[str, str]:
    """The files that the pages show, by name; one that is shown twice is the same."""
    files: dict[str, str] = {}
    for block in (block for document in PAGES for block in blocks(document, "python", "json", "toml", "yaml")):
        if block.file:
            assert files.setdefault(block.file, block.text) == block.text, f"there are two versions of {block.file}"
    return files


def marked(marker: str) -> str:
    """The one line of the block behind a marker in the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^<!-- {marker} -->\n```sh\n([^\n]*)\n```$", text, re.MULTILINE)
    assert found, f"there is no one-line block behind <!-- {marker} -->"
    return found[1]


def skeleton(line: str) -> str:
    """A line of output without what differs between runs and machines: measured numbers, widths, what ended when."""
    line = re.sub(r" \(\d+ of \d+.*\)$", "", line)
    kept = re.sub(r"(?<![\w.=])[-+]?\d+(\.\d+)?(e[-+]\d+)?(m\d+)?(?=s?\b)(?![0-9a-f]{3,})", "#", line.strip())
    return re.sub(r"(loss|accuracy)=\S+", r"\1=#", re.sub(r"\s+", " ", kept))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with the files that the pages show, which is the working directory."""
    directory = tmp_path_factory.mktemp("docs")
    for name, text in shown_files().items():
        (directory / name).write_text(text)
    shutil.copy(ROOT / "grid.json", directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setenv("PYTHONPATH", str(ROOT))  # for processes that start here, Ray's workers included
        yield directory


SMALL = ["--set", "epochs=1", "--set", "lr=0.01", "--set", "seed=0"]


@pytest.fixture(scope="module")
def digits(workplace: Path) -> subprocess.CompletedProcess[str]:
    """The main job's command as it is printed, in a process of its own, with fewer trials."""
    python, *arguments = shlex.split(marked("run command").split("&&")[-1])
    assert (python, arguments[:2]) == (".venv/bin/python", ["-m", "raysweep"])
    command = [sys.executable, *arguments, *SMALL]
    return subprocess.run(command, cwd=workplace, capture_output=True, text=True, check=False)


def test_the_main_job(digits: subprocess.CompletedProcess[str], workplace: Path) -> None:
    assert digits.returncode == 0, digits.stderr
    assert "val_accuracy" in digits.stdout
    assert len(raysweep.load("digits", workplace / "runs")) == 4


def test_the_digits_sweep_is_of_16_trials() -> None:
    assert len(plan(raysweep.load_spec(ROOT / "grid.json"))) == 16


@pytest.mark.usefixtures("ray_2_cpus", "digits", "workplace")
def test_what_the_pages_show_is_what_a_reader_gets(capsys: pytest.CaptureFixture[str]) -> None:
    """All commands and all code, in the order in which they are read: later ones use what earlier ones left."""
    ran = 0
    for document in PAGES:
        names: dict[str, Any] = {}
        for block in blocks(document, "console", "python"):
            if block.language == "python" and not block.file:
                exec(compile(block.text, document.name, "exec"), names)
            for command, told in block.commands if block.language == "console" else []:
                ran += _runs(command, told, capsys)
    assert ran >= 10


def _runs(command: str, told: list[str], capsys: pytest.CaptureFixture[str]) -> bool:
    program, *arguments = shlex.split(command)
    assert program == "raysweep"
    if arguments[0] == "tensorboard":
        return False  # it runs until it is ended: see below
    assert cli.main(arguments) == 0, command
    printed = capsys.readouterr()
    actual = {skeleton(line) for line in (printed.out + printed.err).splitlines()}
    missing = [line for line in told if line != "..." and skeleton(line) not in actual]
    assert not missing, f"{command} prints\n{printed.out}{printed.err}"
    return True


@pytest.mark.usefixtures("digits")
def test_tensorboard_starts(workplace: Path) -> None:
    commands = [command for document in PAGES for block in blocks(document, "console") for command, _ in block.commands]
    assert "raysweep tensorboard" in commands
    with _started("tensorboard", "--port", "6123") as process:
        try:
            assert process.stderr is not None
            assert any("http://" in line for line in process.stderr)
        finally:
            process.terminate()


def _started(*arguments: str) -> subprocess.Popen[str]:
    # in the background of a shell SIGINT is ignored, and this is inherited
    command = ["env", "--default-signal=INT", sys.executable, "-m", "raysweep", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("name", [name for name in shown_files() if not name.endswith(".py")])
def test_training_functions_are_ordinary_functions(
    name: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = raysweep.load_spec(workplace / name)
    file, _, function = spec.trainable.partition(":")
    names: dict[str, Any] = {"__name__": "shown"}
    exec((workplace / file).read_text(), names)
    config = dict(plan(spec)[0].config)
    names[function](config)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == config["epochs"]
    assert all(f"{spec.metric.name}=" in line for line in printed)


@pytest.mark.usefixtures("ray_2_cpus")
def test_a_failure_ends_its_trial_only_and_is_retried_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text(
        "from pathlib import Path\n"
        "def train(config):\n"
        "    if config['x'] == 1 and not Path(config['repaired']).exists():\n"
        "        raise ValueError('x is one')\n"
        "    return {'loss': config['x']}\n"
    )
    content = {
        "trainable": "broken.py:train",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"x": [0, 1, 2], "repaired": str(tmp_path / "repaired")},
    }
    grid, runs = tmp_path / "broken.json", tmp_path / "runs"
    grid.write_text(json.dumps(content))
    assert cli.main(["run", str(grid), "--runs", str(runs)]) == 1
    results = raysweep.load("broken", runs)
    assert [trial.state for trial in results.trials] == [State.DONE, State.FAILED, State.DONE]
    assert results.frame()["error"][1] == "ValueError: x is one"
    assert "broken.py" in (results.trials[1].path / "error.txt").read_text()

    (tmp_path / "repaired").touch()
    assert cli.main(["run", str(grid), "--runs", str(runs)]) == 1
    assert cli.main(["run", str(grid), "--runs", str(runs), "--retry-failed"]) == 0
    assert not raysweep.load("broken", runs).failed


@pytest.mark.usefixtures("ray_2_cpus")
def test_an_interrupted_sweep_goes_on_from_the_last_checkpoint(workplace: Path) -> None:
    content = json.loads((workplace / "mine.json").read_text())
    content |= {"trainable": "slow.py:train", "parameters": {"lr": 0.01, "batch_size": 128, "epochs": 8}}
    (workplace / "slow.json").write_text(json.dumps(content))
    counting = "recorder.count(loss"
    train = (workplace / "train.py").read_text()
    assert counting in train
    (workplace / "slow.py").write_text(train.replace(counting, f"__import__('time').sleep(0.03); {counting}"))

    with _started("run", "slow.json") as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "epoch 3" in line)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert "the same command goes on" in process.stderr.read()
        assert process.wait() == 130
        assert time.monotonic() - sent < 10
    [trial] = raysweep.load("slow").trials
    assert trial.state is State.INTERRUPTED
    before = trial.reports

    assert cli.main(["run", "slow.json"]) == 0
    [trial] = raysweep.load("slow").trials
    assert trial.state is State.DONE
    assert [report.epoch for report in trial.reports] == list(range(1, 9))
    assert trial.reports[:2] == before[:2]  # kept, not trained again


@pytest.mark.usefixtures("ray_2_cpus")
def test_more_values_and_more_epochs_extend_a_sweep(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["mine.json", "--runs", "extended", "--set", "batch_size=128", "--set", "seed=0"]
    assert cli.main(["run", *small, "--set", "epochs=2", "--set", "lr=0.01"]) == 0
    [first] = raysweep.load("mine", "extended").trials
    assert cli.main(["run", *small, "--set", "epochs=3", "--set", "lr=0.01,0.1"]) == 0
    trials = raysweep.load("mine", "extended").trials
    assert [len(trial.reports) for trial in trials] == [3, 3]
    assert trials[0].id == first.id
    assert trials[0].reports[:2] == first.reports
    assert cli.main(["plan", *small, "--set", "epochs=3", "--set", "lr=0.1"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-2:]] == ["done", "dropped"]


def _table(text: str, heading: str) -> list[list[str]]:
    """The rows of the table whose first line begins with a heading, as cells."""
    lines = text[text.index(f"| {heading} |") :].splitlines()
    rows = []
    for line in lines[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def _first(text: str, heading: str) -> list[str]:
    """What stands in code in the first column of a table."""
    return [code for row in _table(text, heading) for code in re.findall(r"`([^`]+)`", row[0])]


def _parsers() -> dict[str, argparse.ArgumentParser]:
    parsers: dict[str, argparse.ArgumentParser] = {}
    for action in cli._parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            parsers |= action.choices
    return parsers


def test_every_command_and_option_is_documented() -> None:
    text = page("commands.md")
    documented = [name.split()[0] for name in _first(text, "command")]
    assert sorted(documented) == sorted(_parsers())
    options = {option for parser in _parsers().values() for a in parser._actions for option in a.option_strings}
    assert {option for option in options - {"-h", "--help"} if option not in text} == set()
    assert set(re.findall(r"--[a-z][a-z-]+", text)) <= options


def test_every_exit_code_is_documented() -> None:
    codes = {0, exit_codes.FAILED, exit_codes.WRONG, BROKEN_OFF, exit_codes.INTERRUPTED}
    assert {int(row[0]) for row in _table(page("commands.md"), "code")} == codes


def test_every_key_of_the_sweep_file_is_documented() -> None:
    text = page("sweep-file.md")
    fields = [field.alias or name for name, field in SweepSpec.model_fields.items()]
    assert sorted(_first(text, "key")) == sorted(fields)
    assert sorted(fields) == sorted(json.loads(shipped())["properties"])
    members = {
        name
        for group in vars(model).values()
        if isinstance(group, type) and issubclass(group, BaseModel) and group is not SweepSpec
        for name in group.model_fields
    }
    assert members > {"goal", "gpu", "reduction"}
    assert {name for name in members if f"`{name}`" not in text and f'"{name}"' not in text} == set()


def test_every_form_of_a_parameter_is_one() -> None:
    forms = _first(page("sweep-file.md"), "written")
    parameters = [form for form in forms if form.startswith('"')]
    assert len(parameters) == 9
    for form in parameters:
        [parameter, *_] = parse(json.loads(f"{{{form}}}"))
        assert parameter


def test_every_distribution_is_documented_with_its_arguments() -> None:
    text = page("sweep-file.md")
    assert sorted(_first(text, "distribution")) == sorted({*ARGUMENTS, *CHOICES, "constant"})
    for cells in _table(text, "distribution"):
        for name in re.findall(r"`(\w+)`", cells[0]):
            told = re.findall(r"`(\w+)`", cells[1])
            assert name not in ARGUMENTS or set(told) in (set(ARGUMENTS[name]), {"q"}), name


@pytest.mark.parametrize("name", ["sweep-file.md", "search.md", "scripts.md", "training.md", "trainers.md"])
def test_what_is_shown_of_sweep_files_can_be_written(name: str) -> None:
    fragments = [json.loads(block.text) for block in blocks(DOCS / name, "json") if not block.file]
    assert fragments
    for fragment in fragments:
        trainable = {"trainable": None} if "program" in fragment else {}
        sweep = check(content(**{"name": "shown", **fragment, **trainable}), name)
        assert plan(sweep) or to_come(sweep, ())


def test_every_state_is_documented() -> None:
    assert _first(page("interrupting.md"), "state") == [str(state) for state in State]


def test_every_column_of_ours_is_documented() -> None:
    assert {*OWN} == {*_first(page("results.md"), "column")} - {"best.NAME", "best.epoch"}


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    described = re.findall(r"^::: raysweep\.(\w+)$", page("api.md"), re.MULTILINE)
    assert sorted(described) == sorted(raysweep.__all__)


def test_every_page_is_in_the_navigation() -> None:
    assert sorted(NAVIGATION) == sorted(path.name for path in DOCS.glob("*.md"))


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LINES


def test_the_pictures_are_those_that_are_shown() -> None:
    shown = {
        (document.parent / target).resolve()
        for document in PAGES
        for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", document.read_text(encoding="utf-8"))
    }
    assert shown == set((DOCS / "images").iterdir())


def test_the_picture_of_a_terminal_fetches_nothing(tmp_path: Path) -> None:
    from docs import pictures

    pictures.terminal(tmp_path / "picture.svg", "raysweep run grid.json", "2 done, 1 running")
    for picture in (tmp_path / "picture.svg", DOCS / "images/live-table.svg"):
        text = picture.read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ").replace("&#160;", " ")
        assert "raysweep run grid.json" in text and " done, " in text
        assert not re.search(r"@font-face|url\([^#]|href", text)


def test_a_wandb_file_works_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.py").write_text("print(1)\n")
    grid = tmp_path / "wandb.yaml"
    grid.write_text(
        "program: train.py\nmethod: random\nmetric: {name: loss, goal: minimize}\nrun_cap: 3\n"
        "parameters:\n  lr: {distribution: log_uniform_values, min: 0.001, max: 0.1}\n  layers: {values: [1, 2]}\n"
        "  optimizer: {parameters: {name: {value: adam}}}\n"
    )
    assert cli.main(["plan", str(grid), "--json", "--runs", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["to_run"] == 3


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        if name.startswith("https:"):
            continue
        path = document.parent / name if name else document
        assert path.exists(), f"{document.name} links to {target}"
        if anchor:
            assert anchor in _anchors(path), f"{document.name} links to {target}"


def _anchors(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    described = re.findall(r"^::: (\S+)$", text, re.MULTILINE)  # by mkdocstrings
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings} | {*described}


def test_ci_runs_the_test_command_as_it_is_printed() -> None:
    assert marked("test command").endswith("-m pytest")
    text = (ROOT / ".ci/run").read_text()
    [awk] = re.findall(r"awk '([^']+)' README\.md", text)
    printed = subprocess.run(["awk", awk, ROOT / "README.md"], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == marked("test command")
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_the_starter_is_like_the_readme_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", str(tmp_path / "new")]) == 0
    assert cli.main(["plan", str(tmp_path / "new/grid.json"), "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("new  ") == 8
