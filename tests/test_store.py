"""The run directory and its records."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.errors import StoreError
from raysweep.store.directory import RunDirectory
from raysweep.store.files import write_text
from raysweep.store.folder import TrialFolder
from raysweep.store.lease import LEASE
from raysweep.store.records import FORMAT, Reached, Report, State, TrialError, TrialRecord, whole

RECORD = TrialRecord("3fa9c1d2e0", "lr=0.1-3fa9c1d2e0", "train.py:train", {"lr": 0.1, "opt": {"a": [1]}}, State.RUNNING)

words = st.text() | st.from_regex(r"'{0,3}(NaN|-?Infinity)", fullmatch=True)
metrics = st.dictionaries(st.text(min_size=1), st.floats() | st.integers(-(2**60), 2**60) | words)
reports = st.builds(
    Report,
    st.integers(1, 10**6),
    *[st.floats(0, 1e12)] * 3,
    metrics,
    st.none() | st.just("checkpoint_000001"),
    counted=st.booleans(),
)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory(tmp_path / "runs" / "sweep")
    directory.create()
    return directory


@pytest.fixture
def folder(run: RunDirectory) -> TrialFolder:
    trial = run.trial(RECORD.name)
    trial.write(RECORD)
    return trial


class TestReports:
    @given(reports)
    def test_are_read_back_as_they_were(self, report: Report) -> None:
        line = report.to_json()
        assert "\n" not in line
        assert json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        back = Report.from_json(line)
        assert replace(back, metrics={}) == replace(report, metrics={})
        assert [(n, type(v), repr(v)) for n, v in back.metrics.items()] == [
            (n, type(v), repr(v)) for n, v in report.metrics.items()
        ]

    def test_of_version_0_1_0_are_read_as_it_read_them(self) -> None:
        line = (
            '{"epoch": 1, "time": 0.0, "epoch_duration": 1.0, "run_duration": 1.0, '
            '"metrics": {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": "nan", "e": 1}, "checkpoint": null}'
        )
        report = Report.from_json(line)
        assert str(dict(report.metrics)) == "{'a': nan, 'b': inf, 'c': -inf, 'd': 'nan', 'e': 1}"
        assert not report.counted and report.to_json() == line

    def test_say_that_a_recorder_counted_only_where_one_did(self) -> None:
        assert "counted" not in Report(1, 0.0, 1.0, 1.0).to_json()
        with pytest.raises(ValueError, match="is no report: counted: "):
            Report.from_json(Report(1, 0.0, 1.0, 1.0, counted=True).to_json().replace("true", '"yes"'))

    def test_keep_nan_and_the_infinities(self) -> None:
        report = Report(1, 0.0, 1.0, 1.0, {"a": float("nan"), "b": float("inf"), "c": float("-inf")})
        back = Report.from_json(report.to_json()).metrics
        assert str(dict(back)) == "{'a': nan, 'b': inf, 'c': -inf}"

    def test_count_once_their_line_is_complete(self, folder: TrialFolder) -> None:
        lines = [Report(epoch, 0.0, 1.0, 1.0, {"loss": 0.5}).to_json() for epoch in (1, 2, 3)]
        text = "\n".join(lines)
        for cut in range(len(text) + 1):
            folder.result_file.write_text(text[:cut])
            assert [report.epoch for report in folder.reports()] == [1, 2, 3][: text[:cut].count("\n")]

    def test_cut_off_within_a_character_do_not_count(self, folder: TrialFolder) -> None:
        line = json.dumps({"epoch": 1, "metrics": {"note": "é"}}, ensure_ascii=False).encode()
        folder.result_file.write_bytes(line[: line.index("é".encode()) + 1])
        assert folder.reports() == []

    @pytest.mark.parametrize("zeros", [(0, 10), (0, 200), (20, 200)])
    def test_that_a_power_cut_tore_do_not_count(self, folder: TrialFolder, zeros: tuple[int, int]) -> None:
        """Several that were written at once: what of them is not on the disk is zeros, anywhere in them."""
        lines = [f"{Report(epoch, 0.0, 1.0, 1.0, {'loss': 0.5}).to_json()}\n".encode() for epoch in (1, 2, 3, 4)]
        start, end = (len(lines[0]) + at for at in zeros)
        text = b"".join(lines)
        folder.result_file.write_bytes(text[:start] + bytes(end - start) + text[end:])
        assert [report.epoch for report in folder.reports()] == [1]

    def test_that_are_damaged_otherwise_are_not_taken_for_torn(self, folder: TrialFolder) -> None:
        folder.result_file.write_text("".join(f"{Report(k, 0.0, 1.0, 1.0).to_json()}\n" for k in (1, 0, 3)))
        with pytest.raises(StoreError, match=r"result\.json: cannot be used: line 2: is no report: epoch: "):
            folder.reports()

    def test_can_be_taken_back(self, folder: TrialFolder) -> None:
        three = [Report(epoch, 0.0, 1.0, 1.0) for epoch in (1, 2, 3)]
        folder.keep_reports(three)
        folder.keep_reports(three[:1])
        assert folder.reports() == three[:1]

    def test_are_none_before_the_first(self, folder: TrialFolder) -> None:
        assert folder.reports() == []


class TestRecords:
    @pytest.mark.parametrize(
        "record",
        [
            RECORD,
            replace(RECORD, state=State.FAILED, error=TrialError("ValueError", "no\n\\ud800"), ended=1.5, attempts=3),
            replace(RECORD, state=State.DONE, limit=Reached("loss", 0.1), code="abc", host="h", pid=3, started=0.5),
            replace(RECORD, state=State.DONE, limit=Reached("loss", float("inf")), seal="12-34"),
            replace(RECORD, state=State.DONE, limit=Reached("epoch", 2**53 + 1)),
        ],
    )
    def test_are_read_back_as_they_were(self, folder: TrialFolder, record: TrialRecord) -> None:
        folder.write(record)
        assert folder.record() == record

    def test_of_version_0_1_0_may_say_infinity_as_json_does_not(self) -> None:
        text = replace(RECORD, limit=Reached("loss", float("-inf"))).to_json()
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        assert TrialRecord.from_json(text.replace('"-Infinity"', "-Infinity")) == TrialRecord.from_json(text)

    def test_hold_only_text_that_every_file_can(self, folder: TrialFolder) -> None:
        folder.write(replace(RECORD, state=State.FAILED, error=TrialError("ValueError", "no\n\ud800")))
        record = folder.record()
        assert record is not None and record.error == TrialError("ValueError", "no\n\\ud800")

    def test_are_missing_where_nothing_ran(self, run: RunDirectory) -> None:
        assert run.trial("lr=1-abc").record() is None
        assert not run.trial("lr=1-abc").holds_trial()

    @pytest.mark.parametrize("missing", ["id", "name", "trainable", "config", "state", "format"])
    def test_need_all_that_identifies_a_trial(self, missing: str) -> None:
        raw = json.loads(RECORD.to_json())
        del raw[missing]
        with pytest.raises(ValueError, match="is no record of a trial"):
            TrialRecord.from_json(json.dumps(raw))

    def test_of_a_newer_format_are_refused(self, folder: TrialFolder) -> None:
        raw = {**json.loads(RECORD.to_json()), "format": FORMAT + 1, "state": "new and unheard of"}
        (folder.path / "trial.json").write_text(json.dumps(raw))
        with pytest.raises(StoreError, match="newer raysweep"):
            folder.record()

    def test_that_are_directories_are_refused(self, run: RunDirectory) -> None:
        (run.path / "lr=1-abc" / "trial.json").mkdir(parents=True)
        with pytest.raises(StoreError, match=r"trial\.json: cannot be used: "):
            run.trial("lr=1-abc").record()


class TestErrors:
    def test_tell_type_and_text(self) -> None:
        assert str(TrialError.of(ValueError("no luck"))) == "ValueError: no luck"
        assert str(TrialError.of(KeyError())) == "KeyError"

    def test_stand_texts_that_cannot_be_told_or_written(self) -> None:
        class RudeError(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        assert "cannot be shown" in TrialError.of(RudeError()).message
        assert TrialError.of(ValueError("\ud800")).message == "\\ud800"

    @given(st.text(st.characters(codec="utf-8")))
    def test_leave_whole_text_alone(self, text: str) -> None:
        assert whole(text) == text

    @pytest.mark.parametrize(
        ("error", "state"),
        [
            (MemoryError(), State.OUT_OF_MEMORY),
            (RuntimeError("CUDA out of memory. Tried to allocate"), State.OUT_OF_MEMORY),
            (RuntimeError("no memory of that"), State.FAILED),
        ],
    )
    def test_know_lack_of_memory(self, error: Exception, state: State) -> None:
        assert TrialError.of(error).state is state


def test_states_know_whether_a_run_leaves_them_alone() -> None:
    finished = {State.DONE, State.STOPPED, State.FAILED, State.OUT_OF_MEMORY}
    assert {state for state in State if state.is_finished} == finished
    assert {state for state in State if state.is_failure} == {State.FAILED, State.OUT_OF_MEMORY}


class TestWriting:
    def test_leaves_the_old_file_where_it_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "file.txt"
        write_text(path, "old")

        def fails(self: Path, target: Path) -> None:
            raise OSError

        monkeypatch.setattr(Path, "replace", fails)
        with pytest.raises(OSError):
            write_text(path, "new")
        assert path.read_text() == "old"

    def test_takes_any_text(self, tmp_path: Path) -> None:
        write_text(tmp_path / "file.txt", "é\ud800")
        assert (tmp_path / "file.txt").read_text(encoding="utf-8") == "é\\ud800"
        assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


class TestCheckpoints:
    def source(self, tmp_path: Path, text: str) -> Path:
        path = tmp_path / text
        path.mkdir()
        (path / "weights.pt").write_text(text)
        return path

    def test_are_copied(self, folder: TrialFolder, tmp_path: Path) -> None:
        kept = folder.save_checkpoint(self.source(tmp_path, "one"), "checkpoint_000001")
        assert (kept / "weights.pt").read_text() == "one"
        assert folder.checkpoints() == [kept]

    def test_replace_one_of_the_same_name(self, folder: TrialFolder, tmp_path: Path) -> None:
        for text in ("one", "two"):
            folder.save_checkpoint(self.source(tmp_path, text), "checkpoint_000001")
        assert (folder.path / "checkpoint_000001" / "weights.pt").read_text() == "two"

    def test_that_were_cut_off_do_not_count(self, folder: TrialFolder, tmp_path: Path) -> None:
        (folder.path / ".checkpoint_000001.tmp").mkdir()
        (folder.path / ".checkpoint_000001.tmp" / "rest").touch()
        assert folder.checkpoints() == []
        kept = folder.save_checkpoint(self.source(tmp_path, "one"), "checkpoint_000001")
        assert [path.name for path in kept.iterdir()] == ["weights.pt"]

    def test_are_pruned_but_for_those_named(self, folder: TrialFolder, tmp_path: Path) -> None:
        source = self.source(tmp_path, "one")
        for epoch in (1, 2, 3, 10):
            folder.save_checkpoint(source, f"checkpoint_{epoch:06d}")
        folder.prune_checkpoints(["checkpoint_000002", "checkpoint_000010"])
        assert [path.name for path in folder.checkpoints()] == ["checkpoint_000002", "checkpoint_000010"]

    def test_are_not_what_a_user_calls_so(self, folder: TrialFolder, tmp_path: Path) -> None:
        source = self.source(tmp_path, "one")
        for epoch in (999_999, 1_000_000):
            folder.save_checkpoint(source, f"checkpoint_{epoch:06d}")
        for name in ("checkpoint_best", "checkpoint_1", "checkpoint_000001_old"):
            (folder.path / name).mkdir()
        for name in ("checkpoint_best.pt", "checkpoint_000009"):
            (folder.path / name).write_text("mine")
        assert [path.name for path in folder.checkpoints()] == ["checkpoint_999999", "checkpoint_1000000"]
        folder.prune_checkpoints(["checkpoint_1000000"])
        assert sorted(path.name for path in folder.path.glob("checkpoint_*")) == [
            "checkpoint_000001_old",
            "checkpoint_000009",
            "checkpoint_1",
            "checkpoint_1000000",
            "checkpoint_best",
            "checkpoint_best.pt",
        ]


def test_clearing_a_folder_leaves_the_record(folder: TrialFolder) -> None:
    folder.keep_reports([Report(1, 0.0, 1.0, 1.0)])
    folder.error_file.write_text("x")
    (folder.path / "checkpoint_000001").mkdir()
    folder.clear()
    assert [path.name for path in folder.path.iterdir()] == ["trial.json"]
    assert folder.record() == RECORD


class TestRunDirectory:
    def test_finds_trials_by_their_id_whatever_their_name(self, run: RunDirectory) -> None:
        for name in ("a-b=1-aaaaaaaaaa", "trial-bbbbbbbbbb", ".tune-cccccccccc", "plain"):
            (run.path / name).mkdir()
        (run.path / "file-dddddddddd").touch()
        assert {id: folder.path.name for id, folder in run.folders().items()} == {
            "aaaaaaaaaa": "a-b=1-aaaaaaaaaa",
            "bbbbbbbbbb": "trial-bbbbbbbbbb",
        }

    def test_has_no_trials_before_it_is_there(self, tmp_path: Path) -> None:
        missing = RunDirectory(tmp_path / "missing")
        assert missing.folders() == {}
        assert not missing.exists()
        with pytest.raises(StoreError, match="no sweep was run here"):
            missing.sweep()

    def test_keeps_the_sweep(self, run: RunDirectory) -> None:
        run.write_sweep({"name": "sweep"}, [{"pid": 3}])
        assert run.sweep() == {"format": FORMAT, "spec": {"name": "sweep"}, "runs": [{"pid": 3}]}
        assert run.earlier() == run.sweep()

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "spec": {}, "runs": [3]}'])
    def test_can_be_used_again_where_the_sweep_is_damaged(self, run: RunDirectory, text: str) -> None:
        (run.path / "sweep.json").write_text(text)
        with pytest.raises(StoreError, match="writes it anew"):
            run.sweep()
        assert run.earlier() == {"spec": {}, "runs": []}

    def test_of_a_newer_format_is_refused(self, run: RunDirectory) -> None:
        (run.path / "sweep.json").write_text(json.dumps({"format": FORMAT + 1}))
        for read in (run.sweep, run.earlier):
            with pytest.raises(StoreError, match="newer raysweep"):
                read()

    def test_that_cannot_be_made_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match=r"cannot be written \(Not a directory\); choose another place"):
            RunDirectory(tmp_path / "file" / "sweep").create()
        with pytest.raises(StoreError, match="File exists"):
            RunDirectory(tmp_path / "file").create()

    def test_is_left_without_a_trace_of_the_attempt_to_write(self, run: RunDirectory) -> None:
        assert list(run.path.iterdir()) == []

    def test_can_be_asked_to_stop(self, run: RunDirectory) -> None:
        assert not run.stop_requested()
        run.request_stop()
        assert run.stop_requested()
        run.clear_stop()
        run.clear_stop()
        assert not run.stop_requested()


def hold(path: Path, pipe: Connection) -> None:
    """In a process of its own: hold the lock until told to die."""
    with RunDirectory(path).lock():
        pipe.send("held")
        pipe.recv()
        os._exit(9)  # as a crash does: nothing is cleaned up


class TestLock:
    @pytest.fixture
    def holder(self, run: RunDirectory) -> Iterator[tuple[Any, Connection]]:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=hold, args=(run.path, there))
        process.start()
        assert here.recv() == "held"
        yield process, here
        here.send("die") if process.is_alive() else None
        process.join()

    def test_keeps_other_processes_out(self, run: RunDirectory, holder: tuple[Any, Connection]) -> None:
        """And says who holds it, which sweep.json may not know yet."""
        run.write_sweep({}, [{"pid": 42, "host": "far"}])
        assert run.is_locked()
        told = rf"another run is at work here \(process {holder[0].pid} on {platform.node()}\); wait for it, `"
        with pytest.raises(StoreError, match=told), run.lock():
            pass

    def test_of_an_earlier_release_has_no_lease(self, run: RunDirectory, holder: tuple[Any, Connection]) -> None:
        run.write_sweep({}, [{"pid": 42, "host": "far"}])
        (run.path / LEASE).unlink()
        told = r"another run is at work here \(process 42 on far\); wait for it"
        with pytest.raises(StoreError, match=told), run.lock():
            pass

    def test_goes_with_the_process(self, run: RunDirectory, holder: tuple[Any, Connection]) -> None:
        process, pipe = holder
        pipe.send("die")
        process.join()
        with run.lock():
            assert run.is_locked()
        assert not run.is_locked()
