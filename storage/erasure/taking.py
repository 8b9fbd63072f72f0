"""The rows and files of an erasure: what is deleted where, within its transaction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from storage.allocator import next_revision
from storage.desk_models import Alert, CaseItem, Erasing, Tombstone
from storage.erasure.records import DoomedTrack, Going
from storage.media import safe_name
from storage.models import ExemplarCrop, Identity, LedgerEntry, Track, TrackBox, TrackletEmbedding
from storage.selects import chunks


def take_tracks(connection: Connection, tracks: Sequence[int], going: Going) -> None:
    """Delete all that is the tracks' own, and leave tombstones for caches."""
    paths = select(ExemplarCrop.path).where(ExemplarCrop.track.in_(tracks))
    going.paths += connection.execute(paths).scalars()
    for what, model in (
        ("pictures", ExemplarCrop),
        ("vectors", TrackletEmbedding),
        ("boxes", TrackBox),
        ("alerts", Alert),
        ("case items", CaseItem),
    ):
        gone = connection.execute(delete(model).where(model.track.in_(tracks)))
        going.count(what, gone.rowcount)
    _delete_links(connection, tracks, LedgerEntry.track.in_(tracks), going)
    connection.execute(delete(Track).where(Track.id.in_(tracks)))
    revision = next_revision(connection)
    connection.execute(
        insert(Tombstone), [{"track": track, "revision": revision} for track in tracks]
    )


def take_identity(connection: Connection, identity: int, going: Going) -> None:
    """The identity, and what other people's tracks have of it."""
    gone = connection.execute(delete(CaseItem).where(CaseItem.identity == identity))
    going.count("case items", gone.rowcount)
    linked = select(LedgerEntry.track).where(LedgerEntry.identity == identity).distinct()
    for some in chunks(sorted(connection.execute(linked).scalars())):
        once = LedgerEntry.track.in_(some) & (LedgerEntry.identity == identity)
        _delete_links(connection, some, once, going)
    considered = select(*LedgerEntry.__table__.columns).where(LedgerEntry.candidate == identity)
    rows = [dict(row) for row in connection.execute(considered).mappings()]
    for row in rows:
        # The ledger knows no change: the row goes and comes again under its own number.
        _delete_links(connection, [row["track"]], LedgerEntry.id == row["id"], None)
        connection.execute(insert(LedgerEntry).values(row | {"candidate": None}))
    connection.execute(delete(Identity).where(Identity.id == identity))


def _delete_links(
    connection: Connection, tracks: Sequence[int], which: Any, going: Going | None
) -> None:
    """The one way out of the ledger: its trigger lets go of tracks that are being erased."""
    connection.execute(insert(Erasing), [{"track": track} for track in tracks])
    gone = connection.execute(delete(LedgerEntry).where(which))
    connection.execute(delete(Erasing).where(Erasing.track.in_(tracks)))
    if going is not None:
        going.count("links", gone.rowcount)


def files_of(media: Path, tracks: Sequence[DoomedTrack]) -> list[str]:
    """Pictures that a crash left without a row, and the newest picture of each camera."""
    found = []
    folders: dict[str, set[str]] = {}
    for track in tracks:
        folder = f"run{track.run:06d}/{safe_name(track.camera)}"
        folders.setdefault(folder, set()).add(f"{track.id:08d}")
        live = f"live/{safe_name(track.camera)}.jpg"
        if (media / live).is_file():  # at most one second of a camera; a run makes the next
            found.append(live)
    for folder, names in folders.items():
        if (media / folder).is_dir():
            with os.scandir(media / folder) as files:
                found += [
                    f"{folder}/{file.name}"
                    for file in files
                    if file.name.lstrip(".").split("-", 1)[0] in names
                ]
    return found
