"""The README and the other documents say what is true: their commands and code run, their tables are complete."""

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import raysweep
from raysweep import cli
from raysweep.parameters import parse
from raysweep.records import State
from raysweep.schema import shipped
from raysweep.spec import SweepSpec

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the line of text before it, and what is in it."""

    language: str
    before: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that the block shows, where the line before it begins with a file's name."""
        named = re.match(r"`(\w+\.\w+)`.*:$", self.before)
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


def blocks(*languages: str) -> list[Block]:
    found = re.finditer(r"^([^\n]*)\n+```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [Block(m[2], m[1], m[3]) for m in found if m[2] in languages]


def marked(marker: str) -> str:
    """The one line of the block behind a marker."""
    found = re.search(rf"^<!-- {marker} -->\n```sh\n([^\n]*)\n```$", README, re.MULTILINE)
    assert found, f"there is no one-line block behind <!-- {marker} -->"
    return found[1]


def skeleton(line: str) -> str:
    """A line of output without what differs between runs and machines: measured numbers, widths, what ended when."""
    line = re.sub(r" \(\d+ of \d+.*\)$", "", line)
    kept = re.sub(r"(?<![\w.=])[-+]?\d+(\.\d+)?(e[-+]\d+)?(m\d+)?(?=s?\b)(?![0-9a-f]{3,})", "#", line.strip())
    return re.sub(r"(loss|accuracy)=\S+", r"\1=#", re.sub(r"\s+", " ", kept))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with the README's files, which is the working directory."""
    directory = tmp_path_factory.mktemp("readme")
    for block in blocks("python", "json", "toml", "yaml"):
        if block.file:
            (directory / block.file).write_text(block.text)
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
    spec = raysweep.load_spec(ROOT / "grid.json")
    from raysweep.trials import plan

    assert len(plan(spec)) == 16


@pytest.mark.usefixtures("ray_2_cpus", "digits")
def test_console_blocks(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = 0
    for command, told in (pair for block in blocks("console") for pair in block.commands):
        program, *arguments = shlex.split(command)
        assert program == "raysweep"
        if arguments[0] == "tensorboard":
            continue  # it runs until it is ended: see below
        assert cli.main(arguments) == 0, command
        printed = capsys.readouterr()
        actual = {skeleton(line) for line in (printed.out + printed.err).splitlines()}
        missing = [line for line in told if line != "..." and skeleton(line) not in actual]
        assert not missing, f"{command} prints\n{printed.out}{printed.err}"
        ran += 1
    assert ran >= 5


@pytest.mark.usefixtures("digits")
def test_tensorboard_starts(workplace: Path) -> None:
    commands = [command for block in blocks("console") for command, _ in block.commands]
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


def test_python_blocks(workplace: Path) -> None:
    """They use what the console blocks left, so this comes after them."""
    if not (workplace / "model.pt").exists():
        pytest.skip("needs test_console_blocks to have run")
    code = [block.text for block in blocks("python") if not block.file]
    assert len(code) >= 2
    for text in code:
        exec(compile(text, "README.md", "exec"), {})


def test_training_functions_are_ordinary_functions(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Callable[[dict[str, float]], None]] = {}
    exec((workplace / "train.py").read_text(), names)
    names["train"]({"lr": 0.01, "batch_size": 128, "epochs": 2})
    assert [line.split("=")[0] for line in capsys.readouterr().out.splitlines()] == ["loss", "loss"]


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


def test_every_command_and_option_is_documented() -> None:
    table = README[README.index("## The commands") : README.index("## The sweep file")]
    commands: dict[str, argparse.ArgumentParser] = {}
    for action in cli._parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands |= action.choices
    assert len(commands) >= 7
    for name, parser in commands.items():
        row = next((line for line in table.splitlines() if line.startswith(f"| `{name}")), None)
        assert row is not None, f"raysweep {name} is not in the README's table"
        for option in (option for action in parser._actions for option in action.option_strings):
            assert option in ("-h", "--help") or option in table, f"raysweep {name} {option} is not in the README"


def test_documented_commands_and_options_exist() -> None:
    known = {"run", "plan", "results", "best", "tensorboard", "init", "schema"}
    table = README[README.index("## The commands") : README.index("## The sweep file")]
    rows = {match[1] for match in re.finditer(r"^\| `(\w+)", table, re.MULTILINE)}
    parsers = [
        parser
        for action in cli._parser()._actions
        if isinstance(action, argparse._SubParsersAction)
        for parser in action.choices.values()
    ]
    options = {option for parser in parsers for action in parser._actions for option in action.option_strings}
    assert known <= rows
    assert {match[0] for match in re.finditer(r"--[a-z][a-z-]+", table)} <= options


def _keys(first: str, last: str) -> list[str]:
    table = README[README.index(first) : README.index(last)]
    return [match[1] for match in re.finditer(r"^\| `([^`]+)` \|", table, re.MULTILINE)]


def test_every_key_of_the_sweep_file_is_documented() -> None:
    fields = [field.alias or name for name, field in SweepSpec.model_fields.items()]
    assert sorted(_keys("| key |", "A parameter is one of")) == sorted(fields)
    assert sorted(fields) == sorted(json.loads(shipped())["properties"])


def test_every_form_of_a_parameter_is_one() -> None:
    forms = _keys("| written |", "The keys are those")
    assert len(forms) == 5
    for form in forms:
        [parameter, *_] = parse(json.loads(f"{{{form}}}"))
        assert parameter


def test_a_wandb_file_works_but_for_its_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.py").write_text("def train(config): pass\n")
    file = (
        "method: random\nmetric: {name: loss, goal: minimize}\nrun_cap: 3\n"
        "parameters:\n  lr: {distribution: log_uniform_values, min: 0.001, max: 0.1}\n  layers: {values: [1, 2]}\n"
        "  optimizer: {parameters: {name: {value: adam}}}\n"
    )
    grid = tmp_path / "wandb.yaml"
    grid.write_text(f"{file}program: train.py\n")
    assert cli.main(["plan", str(grid)]) == 2
    assert '"trainable": "train.py:train"' in capsys.readouterr().err
    grid.write_text(f"{file}trainable: train.py:train\n")
    assert cli.main(["plan", str(grid), "--json", "--runs", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["to_run"] == 3


@pytest.mark.parametrize("document", DOCUMENTS)
def test_relative_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith("https:"):
            continue
        assert (ROOT / path).exists(), f"{document} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


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
