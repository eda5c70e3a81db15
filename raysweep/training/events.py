"""A trial's TensorBoard event file, through TensorBoard's own writer.

HParams without an experiment record: only each trial's session start and end are written. TensorBoard
then infers the parameters and metrics from the trials it finds, so that sweeps with different axes and
trials still running stand in one table (an experiment record freezes the columns at the first trial's;
tensorflow/tensorboard#5596).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog, TaggedRunMetadata
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import summary_v2
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.metadata import (
    PLUGIN_DATA_VERSION,
    SESSION_END_INFO_TAG,
    create_summary_metadata,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.summary.writer.event_file_writer import EventFileWriter

FLUSH_SECONDS = 5.0  # how long an event may wait before TensorBoard can see it


class EventLog:
    """Writes one trial's events into `directory`; writing is done by a thread of TensorBoard's writer.

    Args:
        directory: the trial's folder; made where it is missing.
        resumed_at: the last epoch that counts, where the trial goes on from a checkpoint. TensorBoard
            then drops what earlier event files hold for later steps.
    """

    def __init__(self, directory: Path, resumed_at: int | None = None) -> None:
        self._writer = EventFileWriter(str(directory), max_queue_size=100, flush_secs=FLUSH_SECONDS)
        if resumed_at is not None:
            restart = Event(step=resumed_at + 1, session_log=SessionLog(status=SessionLog.START))
            self._write(restart)

    def _write(self, event: Event, step: int | None = None) -> None:
        event.wall_time = time.time()
        if step is not None:
            event.step = step
        self._writer.add_event(event)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write `values` (tag to value) at `step`, in one event."""
        points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self.add(Summary(value=points), step)

    def add(self, summary: Summary, step: int) -> None:
        """Write a summary made elsewhere, such as by `torch.utils.tensorboard.summary`, at `step`."""
        self._write(Event(summary=summary), step)

    def graph(self, graph: Any, stepstats: Any = None) -> None:
        """Write a network's graph: the GraphDef, and where there is one the RunMetadata beside it."""
        self._write(Event(graph_def=graph.SerializeToString()))
        if stepstats is not None:
            metadata = TaggedRunMetadata(tag="step1", run_metadata=stepstats.SerializeToString())
            self._write(Event(tagged_run_metadata=metadata))

    def session_start(self, parameters: Mapping[str, object], trial: str) -> None:
        """Tell the HParams table which trial this is and what its (flat) parameters are."""
        shown = {name: _hparam(value) for name, value in parameters.items()}
        self.add(summary_v2.hparams_pb(shown, trial_id=trial, start_time_secs=time.time()), 0)

    def session_end(self, succeeded: bool) -> None:
        """Tell the HParams table that the trial has ended."""
        status = STATUS_SUCCESS if succeeded else STATUS_FAILURE
        end = SessionEndInfo(status=status, end_time_secs=time.time())
        content = HParamsPluginData(session_end_info=end, version=PLUGIN_DATA_VERSION)
        value = Summary.Value(tag=SESSION_END_INFO_TAG, metadata=create_summary_metadata(content))
        self.add(Summary(value=[value]), 0)

    def flush(self) -> None:
        """Wait until all that was written can be read."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is left and close the file."""
        self._writer.close()


def _hparam(value: object) -> float | str:
    """A parameter as the table can show it: numbers as they are, everything else as text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return value  # and not NaN, or an integer that no float can hold
    return value if isinstance(value, str) else json.dumps(value)
