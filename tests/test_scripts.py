"""Scripts are swept as they are: what they get, where their metrics come from, and how they end."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import raysweep
from raysweep.errors import SpecError, TrainableError
from raysweep.plan.fingerprint import fingerprint
from raysweep.plan.reference import Reference, locate
from raysweep.plan.trials import plan
from raysweep.results.results import Results
from raysweep.store.records import State
from raysweep.sweepfile.command import arguments, expanded, python_part
from raysweep.sweepfile.spec import check

CONFIG: dict[str, Any] = {"lr": 0.1, "opt": {"name": "sgd"}, "flag": True, "off": False, "layers": [1, 2], "none": None}
METRIC = {"name": "loss", "goal": "minimize"}


def content(**keys: Any) -> dict[str, Any]:
    return {"name": "sweep", "program": "train.py", "metric": METRIC, "parameters": {"x": [1, 2]}, **keys}


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("args", ["--lr=0.1", "--opt.name=sgd", "--flag=True", "--off=False", "--layers=[1, 2]", "--none=None"]),
        ("args_no_hyphens", ["lr=0.1", "opt.name=sgd", "flag=True", "off=False", "layers=[1, 2]", "none=None"]),
        ("args_no_boolean_flags", ["--lr=0.1", "--opt.name=sgd", "--flag", "--layers=[1, 2]", "--none=None"]),
    ],
)
def test_parameters_are_arguments_as_wandb_writes_them(form: str, words: list[str]) -> None:
    assert arguments(CONFIG, form) == words


def test_commands_have_wandbs_macros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIND", "big")
    file = tmp_path / "arguments.json"
    parts = ["${env}", "${interpreter}", "x-${program}", "${envvar:KIND}", "${args_json}", "${args_json_file}", "--"]
    words = expanded(parts, "train.py", CONFIG, file)
    assert words[:4] == ["/usr/bin/env", sys.executable, "x-train.py", "big"]
    assert json.loads(words[4]) == CONFIG and words[5:] == [str(file), "--"]
    assert json.loads(file.read_text()) == CONFIG


@pytest.mark.parametrize(
    ("command", "rest"),
    [
        (None, ["${args}"]),
        (["${env}", "python3", "-u", "${program}", "--fast", "${args}"], ["--fast", "${args}"]),
        (["/usr/bin/python", "-m", "${program}"], []),
        (["bash", "${program}", "${args}"], None),
        (["torchrun", "--nproc-per-node=2", "${program}", "${args}"], None),
        (["python", "other.py", "${program}"], None),
    ],
)
def test_it_is_known_what_is_pythons(command: list[str] | None, rest: list[str] | None) -> None:
    assert python_part(command) == rest


class TestFiles:
    def test_a_program_is_the_same_trial_however_it_is_written(self) -> None:
        ids = [trial.id for trial in plan(check(content(), "x"))]
        written = {**content(), "trainable": "train.py:__main__"}
        del written["program"]
        assert [trial.id for trial in plan(check(written, "x"))] == ids
        assert [trial.id for trial in plan(check(content(report="wandb"), "x"))] == ids
        assert [t.id for t in plan(check(content(command=["bash", "${program}"]), "x"))] != ids
        sweep = check(content(), "x")  # and what is recorded of it is the same again
        assert check(sweep.model_dump(mode="json", by_alias=True, exclude_unset=True), "x") == sweep

    @pytest.mark.parametrize(
        ("keys", "text"),
        [
            ({"trainable": "train.py:train"}, 'program: is there, and "trainable" as well'),
            ({"command": ["${what}"]}, r"command: there is no \$\{what\}; there are \$\{env\}"),
            ({"command": []}, "command: "),
            ({"command": "python train.py"}, "command: should be a list"),
            ({"report": "wandb", "command": ["bash", "${program}"]}, "report: needs a command that starts the program"),
            ({"report": "stdout"}, "report: should be 'wandb' or 'tensorboard'"),
            ({"process": "ray"}, 'process: is "ray", in whose processes no program can run'),
            ({"program": None, "trainable": "train.py:train", "report": "wandb"}, 'report: belongs to a "program"'),
        ],
    )
    def test_that_are_wrong(self, keys: dict[str, Any], text: str) -> None:
        given = {key: value for key, value in content(**keys).items() if value is not None}
        with pytest.raises(SpecError, match=text):
            check(given, "sweep.json")

    def test_programs_are_found_and_read_before_anything_starts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub/train.py").write_text("import helper\n")
        (tmp_path / "sub/helper.py").write_text("x = 1\n")
        beside = Reference("train.py:__main__", tmp_path / "sub")
        before = fingerprint(beside)
        (tmp_path / "sub/helper.py").write_text("x = 2\n")
        assert before != fingerprint(beside)
        monkeypatch.chdir(tmp_path / "sub")
        assert locate(Reference("train.py:__main__", tmp_path)) is not None  # where one is, as W&B looks for it
        (tmp_path / "sub/train.py").write_text("def (")
        with pytest.raises(TrainableError, match="is not valid Python"):
            locate(beside)
        with pytest.raises(TrainableError, match="there is no file"):
            locate(Reference("missing.py:__main__", tmp_path))
        with pytest.raises(TrainableError, match="there is no module 'no_such'"):
            locate(Reference("no_such.module:__main__", tmp_path))


def swept(folder: Path, script: str, name: str = "train.py", /, **keys: Any) -> Results:
    (folder / name).write_text(script)
    return raysweep.run(check(content(program=name, **keys), "x"), runs=folder / "runs", directory=folder)


@pytest.mark.usefixtures("ray_2_cpus")
class TestRuns:
    def test_scripts_report_from_wherever_they_are(self, tmp_path: Path) -> None:
        (tmp_path / "helper.py").write_text("def double(x): return 2 * x\n")
        results = swept(
            tmp_path,
            "import argparse, multiprocessing, os, subprocess, sys\n"
            "import raysweep\n"
            "from helper import double\n"
            "def work(x):\n    raysweep.report({'loss': x, 'step': 2})\n"
            "if __name__ == '__main__':\n"
            "    parser = argparse.ArgumentParser()\n"
            "    parser.add_argument('--x', type=int, choices=[1, 2])\n"
            "    x = parser.parse_args().x\n"
            "    raysweep.report({'loss': double(x), 'step': 1})\n"
            "    child = multiprocessing.get_context('fork').Process(target=work, args=(x,))\n"
            "    child.start(); child.join()\n"
            "    code = f\"import raysweep; raysweep.report({{'loss': {x} / 2, 'step': 3}})\"\n"
            "    subprocess.run([sys.executable, '-c', code], check=True)\n"
            "    if x == 2:\n        print('no luck'); sys.exit(3)\n",
        )
        good, bad = results.trials
        assert [report.metrics for report in good.reports] == [
            {"loss": 2, "step": 1}, {"loss": 1, "step": 2}, {"loss": 0.5, "step": 3},
        ]  # fmt: skip
        assert good.state is State.DONE and bad.state is State.FAILED
        assert str(bad.error) == "ProgramFailed: train.py ended with exit code 3; its last output: no luck"

    def test_wandb_is_read_as_it_is(self, tmp_path: Path) -> None:
        pytest.importorskip("wandb")
        results = swept(
            tmp_path,
            "import wandb\n"
            "def main():\n"
            "    with wandb.init(project='p', config={'x': 7, 'epochs': 2}) as run:\n"
            "        for epoch in range(run.config.epochs):\n"
            "            wandb.log({'lr': 0.1}, commit=False)\n"
            "            run.log({'val': {'loss': wandb.config['x'] / (epoch + 1)}, 'text': 'a'})\n"
            "main()\n",
            command=["python", "${program}"],
            report="wandb",
            metric={"name": "val.loss"},
        )
        assert [[report.metrics for report in trial.reports] for trial in results.trials] == [
            [{"lr": 0.1, "val.loss": x}, {"lr": 0.1, "val.loss": x / 2}] for x in (1, 2)
        ]
        assert not (tmp_path / "wandb").exists()

    def test_summaries_are_read_as_they_are(self, tmp_path: Path) -> None:
        results = swept(
            tmp_path,
            "import sys\n"
            "from torch.utils.tensorboard import SummaryWriter\n"
            "x = int(sys.argv[1].partition('=')[2])\n"
            "with SummaryWriter() as writer:\n"
            "    for step in range(4):\n"
            "        if step % 2: writer.add_scalar('loss', x / step, step)\n"
            "        writer.add_scalar('lr', 0.1, step)\n",
            report="tensorboard",
            stop={"epoch": 2},
        )
        assert {trial.state for trial in results.trials} == {State.DONE}
        assert [[report.metrics["loss"] for report in trial.reports] for trial in results.trials] == [
            [x, x / 3] for x in (1, 2)
        ]

    def test_a_script_that_reports_nothing_is_told_what_to_do(self, tmp_path: Path) -> None:
        silent = swept(tmp_path, "print(1)\n", parameters={"x": 1})
        assert '"report": "wandb" or "tensorboard"' in str(silent.trials[0].error)
        other = swept(
            tmp_path,
            "from torch.utils.tensorboard import SummaryWriter\nSummaryWriter().add_scalar('Loss', 1, 1)\n",
            "other.py",
            report="tensorboard",
            parameters={"x": 1},
        )
        assert "the metric 'loss' was never told to tensorboard; told were: Loss" in str(other.trials[0].error)

    def test_other_programs_end_with_the_trial(self, tmp_path: Path) -> None:
        (tmp_path / "report.py").write_text(
            "import sys, time, raysweep\n"
            "for epoch in range(int(sys.argv[2])):\n"
            "    raysweep.report({'loss': float(sys.argv[1].partition('=')[2])})\n"
        )
        script = (
            "#!/bin/bash\n"
            f'{sys.executable} "$(dirname "$0")/report.py" "$1" 2 & wait $! || exit 5\n'
            '[ "$1" = "x=2" ] && { echo "out of luck" >&2; exit 4; }\n'
            f'sleep 1000 & echo $! > "$(dirname "$0")/pid"\n'
            f'{sys.executable} "$(dirname "$0")/report.py" "$1" 9; sleep 1000\n'
        )
        results = swept(
            tmp_path, script, "train.sh", command=["bash", "${program}", "${args_no_hyphens}"], stop={"epoch": 3}
        )
        good, bad = results.trials
        assert good.state is State.DONE and len(good.reports) == 3
        left = Path("/proc", (tmp_path / "pid").read_text().strip())
        deadline = time.monotonic() + 20
        while left.exists() and time.monotonic() < deadline:  # whoever has adopted it has to see that it ended
            time.sleep(0.05)
        assert not left.exists()
        assert str(bad.error) == "ProgramFailed: bash ended with exit code 4; its last output: out of luck"
        assert len(bad.reports) == 2
