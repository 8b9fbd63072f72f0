"""The model, the detector and the gallery behind the search pages: loaded once, in the background.

Loading takes seconds, and minutes where a store of millions is read: it begins when somebody first
opens the search page, which says that it goes on. Whoever asks before it is done waits.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from fastapi import Depends, Request

from investigation.search.desk import SearchDesk
from investigation.search.photos import whole_picture
from reid.embedding import weights_file
from reid.errors import CrosscamError, DataError
from reid.explain.explanation import Explainer
from reid.network.checkpoint import read_config
from storage.store import Store
from web.desk import Desk
from web.shelf import Shelf

log = logging.getLogger(__name__)

NAMES = {
    6: ("Head", "Shoulders, chest", "Waist, hands", "Thighs", "Knees", "Feet"),
    4: ("Head, shoulders", "Chest, waist", "Thighs", "Shins, feet"),
    3: ("Head, chest", "Waist, thighs", "Shins, feet"),
    2: ("Upper body", "Lower body"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """How far loading is: `cold`, `loading`, `ready` or `failed`; why, and for how many seconds."""

    word: str
    problem: str | None = None
    seconds: float = 0.0


class SearchRoom:
    """Searches of one process. Safe to share by threads."""

    def __init__(self, desk: Desk) -> None:
        """Load nothing yet."""
        self.shelf = Shelf()
        self._desk = desk
        self._lock = threading.Lock()
        self._search: SearchDesk | None = None
        self._store: Store | None = None
        self._model: Explainer | None = None  # kept where the store is another after it was away
        self._names: tuple[str, ...] | None = None
        self._warming: threading.Thread | None = None
        self._begun = 0.0
        self._state = State("cold")

    @property
    def looking(self) -> SearchDesk:
        """The search over the present store, whose model may still have to be loaded.

        Raises:
            StoreError: while the store is away.
        """
        store = self._desk.store
        settings = self._desk.settings
        with self._lock:
            if self._search is None or self._store is not store:
                self._search = SearchDesk(
                    store.reader(),
                    settings.weights,
                    settings.detector,
                    settings.device,
                    model=self._model,
                )
                self._store = store
                self._state = State("cold")
            return self._search

    @property
    def parts(self) -> tuple[str, ...]:
        """What the model's K stripes of a body show, from the top; the model is not loaded for it.

        Raises:
            ModelError: if its file is missing or damaged.
        """
        if self._names is None:
            count = read_config(weights_file(self._desk.settings.weights)).num_parts
            plain = tuple(f"Stripe {n} of {count} from the top" for n in range(1, count + 1))
            self._names = NAMES.get(count, plain)
        return self._names

    def state(self) -> State:
        """How far loading is."""
        with self._lock:
            if self._state.word == "loading":
                return State("loading", None, time.monotonic() - self._begun)
            return self._state

    def warm(self) -> State:
        """Begin to load what a search needs, unless that was done; returns the state."""
        looking = self.looking
        with self._lock:
            idle = self._warming is None or not self._warming.is_alive()
            if idle and self._state.word in ("cold", "failed"):
                self._begun = time.monotonic()
                self._state = State("loading")
                # No daemon, as the request's own thread is: Python would end it within torch at
                # the process's end, which aborts the process.
                self._warming = threading.Thread(
                    target=self._load, args=(looking,), name="search-loading", daemon=False
                )
                self._warming.start()
        return self.state()

    def _load(self, looking: SearchDesk) -> None:
        """Search once for a grey picture: that needs all a search needs."""
        grey = np.full((256, 128, 3), 128, np.uint8)
        state = State("ready")
        try:
            with contextlib.suppress(DataError):  # there is nobody on it
                looking.find_people(grey, "a grey picture")
            looking.search(looking.from_people([whole_picture(grey, "a grey picture")]), top=1)
            self._model = looking.model
        except CrosscamError as error:
            state = State("failed", str(error))
        except Exception:
            log.exception("search: the model could not be loaded")
            state = State("failed", "the model could not be loaded; the server's log says why")
        with self._lock:
            if self._search is looking:
                self._state = state


def room_of(request: Request) -> SearchRoom:
    """The search room of the application."""
    room: SearchRoom = request.app.state.room
    return room


TheRoom = Annotated[SearchRoom, Depends(room_of)]
