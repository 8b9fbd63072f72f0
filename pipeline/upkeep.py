"""What goes on beside the frames of a run: the cameras' states and the retention of recordings.

In a thread of its own, because the runner waits while no camera gives a picture: the live wall
has to say so just then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from pipeline.records import CameraState
from pipeline.settings import RecordingSettings
from reid.errors import CrosscamError
from storage.footage.retention import enforce
from storage.store import Store

log = logging.getLogger(__name__)

STATES_SECONDS = 2.0
RETENTION_SECONDS = 60.0
SWEEP_SECONDS = 3600.0  # looking at every file costs more than asking the index


class Upkeep:
    """Writes states every two seconds and enforces retention every minute, until `close`."""

    def __init__(
        self,
        store: Store,
        run: int,
        states: Callable[[], Mapping[str, CameraState]],
        recording: RecordingSettings,
    ) -> None:
        """Start the thread.

        Args:
            store: where to.
            run: whose cameras.
            states: gives how every camera is doing.
            recording: how much is kept; nothing is removed unless recording is enabled.
        """
        self._store, self._run, self._states = store, run, states
        self._recording = recording
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; what it is at is finished."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        retention = time.monotonic() + STATES_SECONDS
        sweep = retention
        while not self._stop.wait(STATES_SECONDS):
            try:
                write_states(self._store, self._run, self._states())
                now = time.monotonic()
                if self._recording.enabled and now >= retention:
                    self._retain(sweep=now >= sweep)
                    retention = now + RETENTION_SECONDS
                    sweep = now + SWEEP_SECONDS if now >= sweep else sweep
            except CrosscamError as error:
                # A store that fails ends the run itself, in its own thread.
                log.warning("upkeep: %s", error)
            except Exception:
                log.exception("upkeep failed")

    def _retain(self, sweep: bool) -> None:
        settings = self._recording
        enforce(
            self._store,
            keep_days=settings.keep_days,
            keep_gigabytes=settings.keep_gigabytes,
            keep_free=settings.keep_free,
            margin=settings.segment,
            sweep=sweep,
        )


def write_states(store: Store, run: int, states: Mapping[str, CameraState]) -> None:
    """Replace what the run says about its cameras.

    Raises:
        StoreError: if the store cannot be written.
    """
    for name, state in states.items():
        store.camera_state(
            run,
            name,
            state.state,
            state.error or state.recording,
            state.frames,
            state.dropped,
            state.first,
            state.last,
        )
