"""The contact sheet: one HTML file with a run's identities, their pictures and the evidence.

The pictures lie inside the page as `data:` addresses: the file can be mailed, archived with a case
or opened from a memory stick, and shows the same pictures after the store's own have been erased
or moved. They are shrunk, so that a page of a hundred tracks stays below a few megabytes; the
hash of each original is kept beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from investigation.evidence import Evidence, explain
from investigation.pictures import Picture, picture
from storage.media import check_target, replacing
from storage.queries import StoreReader
from storage.records import IdentityRow, IdentitySheet, RunCameraRow, TrackRow, TrackSheet

TEMPLATES = Path(__file__).parent / "templates"
UNTRAINED = "untrained"


@dataclass(frozen=True, slots=True)
class Counts:
    """What a run found, in numbers; `shared` identities were seen by more than one camera."""

    tracks: int
    boxes: int
    identities: int
    shared: int
    links: int
    abstentions: int
    undecided: int


@dataclass(frozen=True, slots=True)
class TrackView:
    """A track on the page."""

    track: TrackRow
    pictures: tuple[Picture, ...]
    more: int


@dataclass(frozen=True, slots=True)
class CameraView:
    """One camera's part of an identity's row."""

    camera: str
    place: str | None
    tracks: tuple[TrackView, ...]


@dataclass(frozen=True, slots=True)
class IdentityView:
    """One row of the sheet. `doubts`: other identities that might be the same person."""

    identity: IdentityRow
    cameras: tuple[CameraView, ...]
    evidence: tuple[Evidence, ...]
    doubts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """Which model, detector and matcher settings the run used, as its configuration says."""

    fingerprint: str
    detector: str
    embedder: str
    threshold: float | None

    @property
    def untrained(self) -> bool:
        """True if the weights were random: identities then mean nothing."""
        return self.fingerprint.startswith(UNTRAINED)


def write_report(
    reader: StoreReader, out: Path, run: int | None = None, *, crops: int = 2, limit: int = 500
) -> Counts:
    """Write a run's contact sheet.

    Args:
        reader: the store.
        out: the HTML file; replaced whole, so a reader never meets half a page.
        run: its id; the latest finished run if not given.
        crops: pictures per track, at most; the best come first.
        limit: identities on the page, at most; those seen by most cameras come first.

    Raises:
        StoreError: if there is no such run.
        DataError: if the file cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    row = reader.run(run)
    identities = sorted(reader.identities(row.id), key=_by_cameras)
    cameras = reader.run_cameras(row.id)
    counts = count(reader, row.id, identities)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(clock=clock, moment=moment, day=day)
    page = environment.get_template("contact_sheet.html").generate(
        run=row,
        store=reader.url,
        cameras=cameras,
        footage=_footage(cameras),
        model=_model(row.config),
        counts=counts,
        rows=views(reader, row.id, identities[:limit], cameras, crops),
        left_out=max(0, len(identities) - limit),
        made=datetime.now(UTC).timestamp(),
    )
    check_target(out, ".html")
    with replacing(out) as file:
        file.writelines(page)  # row by row: a long report never lies in memory whole
    return counts


def count(reader: StoreReader, run: int, identities: Sequence[IdentityRow]) -> Counts:
    """Count what a run found."""
    actions: Counter[str | None] = Counter()
    tracks = boxes = 0
    for track in reader.tracks(run):
        tracks += 1
        boxes += track.boxes
        actions[track.action] += 1
    return Counts(
        tracks=tracks,
        boxes=boxes,
        identities=len(identities),
        shared=sum(len(i.cameras) > 1 for i in identities),
        links=actions["link"] + actions["move"],
        abstentions=actions["abstain"],
        undecided=actions[None],
    )


def views(
    reader: StoreReader,
    run: int,
    identities: Sequence[IdentityRow],
    cameras: Sequence[RunCameraRow],
    crops: int,
) -> Iterator[IdentityView]:
    """The rows of the sheet, one after the other."""
    places = {camera.camera: camera.place for camera in cameras}
    strongest = _strongest(reader, run)
    for identity in identities:
        yield view(reader.identity_sheet(identity, run), places, strongest, crops)


def view(
    sheet: IdentitySheet, places: dict[str, str | None], strongest: float, crops: int
) -> IdentityView:
    """One identity, ready for the page.

    Args:
        sheet: the identity as stored.
        places: where each camera stands.
        strongest: the largest part quality of the run.
        crops: pictures per track, at most.
    """
    tracks = [track for found in sheet.cameras.values() for track in found]
    rows = sorted(
        ((entry, t.track.camera) for t in tracks for entry in t.ledger), key=lambda r: r[0].id
    )
    evidence = tuple(explain(entry, camera) for entry, camera in rows)
    doubts = {e.candidate for e in evidence if e.mark == "doubt" and e.candidate is not None}
    return IdentityView(
        identity=sheet.identity,
        cameras=tuple(
            CameraView(
                camera,
                places.get(camera),
                tuple(_track_view(track, strongest, crops) for track in found),
            )
            for camera, found in sheet.cameras.items()
        ),
        evidence=evidence,
        doubts=tuple(sorted(doubts)),
    )


def _track_view(sheet: TrackSheet, strongest: float, crops: int) -> TrackView:
    best = sorted(sheet.exemplars[:crops], key=lambda e: e.time)
    return TrackView(
        track=sheet.track,
        pictures=tuple(picture(row, strongest) for row in best),
        more=len(sheet.exemplars) - len(best),
    )


def _strongest(reader: StoreReader, run: int) -> float:
    """The largest quality of any picture of the run: what a full bar stands for."""
    return max(
        (
            max(exemplar.quality, default=0.0)
            for track in reader.tracks(run)
            for exemplar in reader.exemplars(track.id)
        ),
        default=0.0,
    )


def _by_cameras(identity: IdentityRow) -> tuple[int, float, int]:
    return -len(identity.cameras), identity.start, identity.id


def _footage(cameras: Sequence[RunCameraRow]) -> tuple[float, float] | None:
    first = [c.first for c in cameras if c.first is not None]
    last = [c.last for c in cameras if c.last is not None]
    return (min(first), max(last)) if first and last else None


def _model(config: dict[str, Any]) -> Model:
    matching = (config.get("pipeline") or {}).get("matching") or {}
    return Model(
        fingerprint=str(config.get("model", "not recorded")),
        detector=str(config.get("detector", "not recorded")),
        embedder=str(config.get("embedder", "not recorded")),
        threshold=matching.get("threshold"),
    )


def clock(seconds: float) -> str:
    """UTC seconds as `08:00:01.25`."""
    return f"{datetime.fromtimestamp(round(seconds, 2), UTC):%H:%M:%S.%f}"[:11]


def day(seconds: float) -> str:
    """UTC seconds as `2026-01-31`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def moment(seconds: float) -> str:
    """UTC seconds as `2026-01-31 08:00:01`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
