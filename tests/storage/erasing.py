"""A store with a person to be erased, and what is looked for afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from reid.records import PartEmbeddings
from storage.desk_models import Alert, Case, CaseItem, Recording, Watch
from storage.erasure.erase import ErasureReport
from storage.rows import embedding_row
from storage.store import Store
from tests.storage.samples import CAMERAS, NOON, K, decision, embedding, exemplar, points, tracklet

# track -> identity; tracks 4 and 5 are the ones to go
D = 512  # vectors as long as real ones: they do not fit one page of the database
PEOPLE = {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 3, 7: 3}
GONE = (4, 5)
CAMERA = {track: "door" if track % 2 else "yard" for track in PEOPLE}


def look_of(track: int, look: int) -> PartEmbeddings:
    return embedding(100 * track + look, d=D)


def jpeg(track: int, frame: int) -> bytes:
    return b"\xff\xd8 a picture of track %d in frame %d " % (track, frame) + bytes(
        (track * 37 + frame * 11 + i * i) % 251 for i in range(3000)
    )


def fill(store: Store) -> None:
    run = store.begin_run({}, CAMERAS)
    store.register_model("model-a", K, D, {})
    seen: set[int] = set()
    for track, identity in PEOPLE.items():
        assert store.track_allocator().next_id() == track
        camera = CAMERA[track]
        # apart in time, but for 6, who walks beside 4
        there = points(
            10, 0 if track in (4, 6) else 100 * track, {4: 400.0, 6: 420.0}.get(track, 0)
        )
        store.add_points(run, camera, track, there)
        if identity not in seen:
            assert store.identity_allocator().next_id() == identity
        # an earlier look, replaced by a later one: neither may be left
        for look in (1, 2):
            crop = replace(
                exemplar(there[5].frame, jpeg=jpeg(track, look)),
                time=there[5].time,
                box=there[5].box,
            )
            state = tracklet(track, camera, 10, look_of(track, look), (crop,))
            state = replace(state, start=there[0].time, end=there[-1].time)
            store.save_tracklet(run, state)
        store.link(run, decision(track, identity, "link" if identity in seen else "create"))
        seen.add(identity)
    # 3 was with identity 2 for a while; 7 was compared with it
    store.link(run, decision(3, 2, "move", distance=0.2))
    store.link(run, decision(3, 1, "move", distance=0.1))
    store.link(run, decision(7, 3, "abstain", candidate=2, distance=0.3, reason="cannot tell"))
    store.finish_run(run)
    store.write(_desk)


def _desk(connection: Any) -> None:
    person = {"actor": "anna", "reason": "x"}
    looks = [
        {
            name: value
            for name, value in embedding_row(t, look_of(t, 2), "x").items()
            if name != "track"
        }
        for t in (4, 1)
    ]
    common = {"level": "strong", "notify": {}, "covered": 0, "created": NOON, "expires": NOON + 9}
    connection.execute(
        insert(Watch),
        [
            {"name": "of 4", **person, **looks[0], **common, "details": {"tracks": [4]}},
            {
                "name": "of 1",
                **person,
                **looks[1],
                **common,
                "details": {"tracks": [1], "identity": 1},
            },
        ],
    )
    for track in (4, 6):
        hit = {"watch": 2, "track": track, "raised": NOON, "time": NOON, "distance": 0.1}
        more = {"support": 1.0, "verdict": "strong", "evidence": {}, "sent": {}}
        connection.execute(insert(Alert).values(hit | more))
    connection.execute(insert(Case).values(name="gate", created=NOON, **person))
    nothing = dict.fromkeys(("track", "identity", "camera", "start", "end"))
    for item in ({"track": 5}, {"identity": 2}, {"track": 6}, {"camera": "yard", "start": NOON,
                 "end": NOON + 1, "kind": "clip"}):  # fmt: skip
        kind = "track" if "track" in item else "identity"
        given = {"case": 1, "kind": kind, "note": "", "added": NOON, "actor": "anna"}
        connection.execute(insert(CaseItem).values(nothing | given | item))
    for camera, start, end in (("yard", -5, 5), ("yard", 60, 90), ("door", 40, 60)):
        size = {"bytes": 1, "codec": "h264", "width": 1, "height": 1, "closed": True}
        where = {"path": f"recordings/{camera}{start}.mp4", "start": NOON + start}
        connection.execute(
            insert(Recording).values(camera=camera, run=1, end=NOON + end, **where, **size)
        )


def secrets(media: Path) -> dict[str, bytes]:
    """Bytes that only the erased have: their vectors, their pictures, the pictures' paths."""
    found = {}
    for track in GONE:
        for look in (1, 2):
            row = embedding_row(track, look_of(track, look), "x")
            for name in ("parts", "global_parts"):
                # In pieces: a page of the database ends anywhere.
                for at in range(0, len(row[name]) - 48, 500):
                    piece = row[name][at : at + 48]
                    found[f"{name} of {track}, look {look} from {at}"] = piece
            found[f"quality of {track}, look {look}"] = row["quality"]
            found[f"picture of {track}, look {look}"] = jpeg(track, look)[:60]
        found[f"path of {track}"] = b"/%08d-" % track
    return found


def files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (p for p in sorted(folder.rglob("*")) if p.is_file())


def leaks(media: Path, *folders: Path) -> list[str]:
    """Which secrets stand in which file, or in a file's name."""
    kept = secrets(media)
    found = []
    for path in files(media, *folders):
        content = path.read_bytes() + str(path).encode()
        found += [f"{what} in {path.name}" for what, bytes_ in kept.items() if bytes_ in content]
    return found


def kinds(report: ErasureReport) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for remain in report.remains:
        found.setdefault(remain.kind, []).append(remain.what)
    return found
