"""Erasing one identity: its pictures, vectors, boxes, links, tracks and itself.

One transaction takes all rows away; the files follow once it stands (`storage/scrub.py`). What
stays: one audit entry with ids and counts, the tracks' tombstones (for caches), earlier entries of
the audit trail, and the decisions with who, when and why, but without what they were about.

Identities without tracks of their own that went into it, by a merge of people's or the matcher's,
are further names of the person and go with it.

Ledger rows of other people that linked them to the identity for a time go as well; where they only
name it as the one considered, the name is taken out and the rest stays as it was.

A watch whose query was made of the identity still holds its look. It may be somebody's standing
order, so it stays and is reported, unless `watches` says that these go too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from reid.errors import StoreError
from storage import runs, scrub
from storage.audit import Audit, record
from storage.decisions.standing import current_identities, successors
from storage.erasure.records import DoomedTrack, Going, Remain, doomed_tracks
from storage.erasure.remains import remains
from storage.erasure.taking import files_of, take_identity, take_tracks
from storage.erasure.watched import check_words, kept, take_watches, watches_of
from storage.models import Identity, LedgerEntry, Run
from storage.queries import StoreReader
from storage.selects import chunks
from storage.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Survey:
    """What an erasure would take, and what would still show the person afterwards.

    Attributes:
        identity: the one.
        names: identities that went into it and have no tracks any more: they go as well.
        tracks: those it has now.
        watches: id -> name of the watches whose query was made of it.
        remains: see `storage.erasure.remains`; without these watches.
    """

    identity: int
    names: tuple[int, ...]
    tracks: tuple[DoomedTrack, ...]
    watches: dict[int, str]
    remains: tuple[Remain, ...]


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What an erasure took and what it could not.

    Attributes:
        identity: the one that is gone.
        tracks: ids of its tracks.
        counts: rows removed, by what they were: `pictures`, `vectors`, `boxes`, `links`,
            `alerts`, `case items`, `watches`; and `files`.
        remains: what else still shows the person.
        problems: what has to be done again, in sentences (`crosscam erase --finish`).
    """

    identity: int
    tracks: tuple[int, ...]
    counts: dict[str, int]
    remains: tuple[Remain, ...]
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "identity": self.identity,
            "tracks": list(self.tracks),
            "removed": self.counts,
            "remains": [remain.as_json() for remain in self.remains],
            "problems": list(self.problems),
        }


def survey(reader: StoreReader, identity: int) -> Survey:
    """Look before erasing.

    Raises:
        StoreError: if there is no such identity, or its tracks are another one's by now.
    """
    with reader.connection() as connection:
        if connection.execute(select(Identity.id).where(Identity.id == identity)).first() is None:
            raise StoreError(f"store {reader.url} has no identity {identity}")
        tracks = _tracks(connection, identity)
        if not tracks:
            _refuse_moved(connection, identity)
        names = _names(connection, identity, tracks)
        own = (identity, *names)
        watches = watches_of(connection, own, tracks)
        left = remains(connection, own, tracks, watches, reader.media)
        return Survey(identity, names, tuple(tracks), watches, left)


def erase(
    store: Store,
    identity: int,
    actor: str,
    reason: str,
    *,
    watches: bool = False,
    rewrite: bool = False,
    address: str | None = None,
) -> ErasureReport:
    """Erase an identity with all tracks that it has now.

    Args:
        store: where.
        identity: whom.
        actor: who erases, for the audit entry.
        reason: why, for the audit entry.
        watches: erase the watches whose query was made of it as well.
        rewrite: write the database's files anew, so that no free space holds old bytes
            (`storage/scrub.py`); the store is locked meanwhile.
        address: where the request came from.

    Raises:
        StoreError: if there is no such identity, its tracks are another one's by now, a running
            run still has tracks of it in memory, a decision changed it meanwhile, or the store
            cannot be written. Nothing is erased then.
    """
    check_words(actor, reason)
    found = survey(store.reader(), identity)

    def write(connection: Connection) -> Going:
        runs.interrupt_dead(connection, time.time())
        if _changed(connection, found):
            raise StoreError(f"identity {identity} changed just now; look again before erasing it")
        _refuse_running(connection, found)
        going = Going()
        for some in chunks([track.id for track in found.tracks]):
            take_tracks(connection, some, going)
        for name in (identity, *found.names):
            take_identity(connection, name, going)
        take_watches(connection, found.watches if watches else (), going)
        going.paths += files_of(store.media, found.tracks)
        going.paths = sorted(set(going.paths))
        details = _details(found, going, watches)
        subject = f"identity {identity}"
        record(connection, Audit(actor, "erase", subject, reason, details, address))
        scrub.note_files(store.media, identity, going.paths)
        return going

    going = store.write(write)
    problems = scrub.finish(store, rewrite=rewrite)
    for problem in problems:
        log.warning("erasure of identity %d: %s", identity, problem)
    return ErasureReport(
        identity=identity,
        tracks=tuple(track.id for track in found.tracks),
        counts=going.counts | {"files": len(going.paths)},
        remains=(
            *found.remains,
            *_database(store, rewrite),
            *(() if watches else kept(found.watches)),
        ),
        problems=tuple(problems),
    )


def _details(found: Survey, going: Going, watches: bool) -> dict[str, Any]:
    """What the audit entry says."""
    said: dict[str, Any] = {
        "tracks": [track.id for track in found.tracks],
        "removed": going.counts,
    }
    if found.names:
        said["names"] = list(found.names)
    if watches and found.watches:
        said["watches"] = sorted(found.watches)
    return said


def _database(store: Store, rewrite: bool) -> tuple[Remain, ...]:
    """What is beyond our reach of a database that is a server."""
    if store.maintain(lambda engine: engine.dialect.name) == "sqlite":
        return ()
    space = "" if rewrite else "the free space of its tables until that is used again, "
    return (
        Remain("database", f"PostgreSQL keeps old bytes in {space}its log, replicas and backups"),
    )


def _tracks(connection: Connection, identity: int) -> list[DoomedTrack]:
    """Those that the identity has now."""
    named = select(LedgerEntry.track).where(LedgerEntry.identity == identity).distinct()
    now = current_identities(connection, connection.execute(named).scalars())
    return doomed_tracks(connection, sorted(t for t, i in now.items() if i == identity))


def _names(connection: Connection, identity: int, tracks: Sequence[DoomedTrack]) -> tuple[int, ...]:
    """Identities of which nothing is left but what this one has of them."""
    ever: set[int] = set()
    for some in chunks([track.id for track in tracks]):
        rows = select(LedgerEntry.identity).where(LedgerEntry.track.in_(some)).distinct()
        ever |= set(connection.execute(rows).scalars())
    went = successors(connection, ever - {identity})
    return tuple(sorted(name for name, now in went.items() if now == identity))


def _changed(connection: Connection, found: Survey) -> bool:
    now = _tracks(connection, found.identity)
    same = [track.id for track in now] == [track.id for track in found.tracks]
    return not same or _names(connection, found.identity, now) != found.names


def _refuse_moved(connection: Connection, identity: int) -> None:
    """A number without tracks is not the person: whoever asks means the one it went into."""
    now = successors(connection, [identity])[identity]
    if now is not None:
        raise StoreError(
            f"identity {identity} has no tracks any more: it went into {now}; erase that one"
        )


def _refuse_running(connection: Connection, found: Survey) -> None:
    """A running matcher and its trackers hold their tracks in memory and would write them again."""
    own = sorted({track.run for track in found.tracks})
    running: list[int] = []
    for some in chunks(own):
        rows = select(Run.id).where(Run.id.in_(some), Run.status == "running")
        running += connection.execute(rows).scalars()
    if running:
        tracks = ", ".join(str(t.id) for t in found.tracks if t.run == running[0])
        raise StoreError(
            f"identity {found.identity} cannot be erased while run {running[0]} goes on: it still "
            f"holds its tracks {tracks} in memory; stop the run first"
        )
