"""Annotated MP4s of one or several cameras, synchronised by capture time.

Every camera of a clip shows, at each moment, the picture it took last; the clock of that moment
stands above them. Chosen people are marked; everybody else can be made unrecognisable. Stretches
in which nothing is to be seen are left out, and a card says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from investigation.replay.drawing import Grid, canvas, card, draw, grid, hide, place
from investigation.replay.footage import Footage, FootageFrame, Image, Span
from investigation.replay.itinerary import Itinerary
from investigation.replay.people_shown import CAVEATS, PeopleShown
from investigation.replay.remux import TICKS, add_h264
from reid.errors import DataError, OutputError
from storage.footage.recordings import recordings
from storage.media import check_target, replacing_path
from storage.models import iso_text
from storage.queries import StoreReader
from storage.sightings import tracks_by_id

MOST_FPS = 30.0
USUAL_FPS = 25.0  # for recordings that do not say
STALE = 0.5  # seconds after which a picture no longer stands for "now"
CARD = 1.0  # seconds that a card stays
TITLE = "crosscam: "

Progress = Callable[[float, float], None]


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """What a clip shows.

    Attributes:
        cameras: in the order to show them.
        spans: stretches of time to show, by start, that do not overlap.
        labels: track -> what is written beside it; the chosen people.
        blur_others: make everybody else unrecognisable.
    """

    cameras: tuple[str, ...]
    spans: tuple[Span, ...]
    labels: Mapping[int, str] = field(default_factory=dict)
    blur_others: bool = False


@dataclass(frozen=True, slots=True)
class ClipReport:
    """What was written.

    Attributes:
        path: the MP4.
        cameras: those it shows.
        spans: the stretches of time it shows.
        seconds: how long it plays.
        frames: its pictures.
        missing: per camera, the seconds of the stretches for which there is no footage.
        notes: what a person who hands it on has to know.
    """

    path: Path
    cameras: tuple[str, ...]
    spans: tuple[Span, ...]
    seconds: float
    frames: int
    missing: dict[str, float]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For JSON; times ISO 8601 UTC."""
        return {
            "file": self.path.name,
            "cameras": list(self.cameras),
            "spans": [[iso_text(s.start), iso_text(s.end)] for s in self.spans],
            "seconds": round(self.seconds, 3),
            "frames": self.frames,
            "missing": {camera: round(gone, 3) for camera, gone in self.missing.items()},
            "notes": list(self.notes),
        }


def labels_of(itineraries: Sequence[Itinerary]) -> dict[int, str]:
    """What to write beside the tracks of itineraries."""
    return {track: i.name for i in itineraries for track in i.tracks}


def write_clip(
    reader: StoreReader, plan: ClipPlan, out: Path, progress: Progress | None = None
) -> ClipReport:
    """Write a clip.

    Args:
        reader: the store.
        plan: what to show.
        out: the MP4; it appears when it is complete.
        progress: called with (seconds done, seconds in all) of the footage.

    Raises:
        DataError: if the plan shows nothing, a camera is not known, or nothing is recorded there.
        OutputError: if the file cannot be written, or something else lies there.
    """
    check_target(out, ".mp4")
    if out.exists() and not _ours(out):
        raise OutputError(f"{out} is there already and no clip of ours: it is not replaced")
    if not plan.cameras or not plan.spans:
        raise DataError("a clip needs a camera and a stretch of time")
    footage = Footage(reader)
    start, end = plan.spans[0].start, plan.spans[-1].end
    sizes, rate = _look(footage, plan)
    if not sizes:
        never = not any(recordings(reader, camera) for camera in plan.cameras)
        raise DataError(
            f"nothing is recorded of {', '.join(plan.cameras)} between {iso_text(start)} and "
            f"{iso_text(end)}"
            + ("; recording was off: set recording.enabled in pipeline.yaml" if never else "")
        )
    clip = _Clip(reader, footage, plan, grid(sizes), rate)
    try:
        with (
            replacing_path(out) as temporary,
            av.open(
                str(temporary), "w", format="mp4", options={"movflags": "+faststart"}
            ) as container,
        ):
            container.metadata["creation_time"] = iso_text(start)
            container.metadata["title"] = f"{TITLE}{', '.join(plan.cameras)}"
            stream = add_h264(container, clip.layout.width, clip.layout.height, rate)
            for number, image in enumerate(clip.pictures(progress or (lambda done, total: None))):
                picture = av.VideoFrame.from_ndarray(image, format="bgr24")
                picture.pts = round(number * TICKS / clip.rate)
                picture.time_base = Fraction(1, TICKS)
                container.mux(stream.encode(picture.reformat(format="yuv420p")))
            container.mux(stream.encode())
    except (av.error.FFmpegError, OSError) as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error
    return clip.report(out)


def _ours(path: Path) -> bool:
    """Whether a video is a clip that was written here, by its title."""
    try:
        with av.open(str(path)) as container:
            return container.metadata.get("title", "").startswith(TITLE)
    except (av.error.FFmpegError, OSError):
        return False


def _look(footage: Footage, plan: ClipPlan) -> tuple[dict[str, tuple[int, int]], float]:
    """Size of each camera's pictures, where there are any, and the clip's frames a second."""
    sizes: dict[str, tuple[int, int]] = {}
    rates = []
    for camera in plan.cameras:
        for span in plan.spans:
            frames = footage.frames(camera, span.start, span.end)
            first = next(frames, None)
            if first is not None:
                height, width = first.image.shape[:2]
                sizes[camera] = (width, height)
                rates.append(footage.frame_rate(camera, span.start, span.end) or USUAL_FPS)
                break
    known = dict.fromkeys(sizes.values())
    if sizes:  # a camera without footage keeps its place, and says so
        usual = next(iter(known))
        sizes = {camera: sizes.get(camera, usual) for camera in plan.cameras}
    return sizes, min(MOST_FPS, max(rates, default=USUAL_FPS))


class _Clip:
    """The pictures of one clip, in order."""

    def __init__(
        self,
        reader: StoreReader,
        footage: Footage,
        plan: ClipPlan,
        layout: Grid,
        rate: float,
    ) -> None:
        self.layout = layout
        self.rate = rate
        self._reader, self._footage, self._plan = reader, footage, plan
        rows = tracks_by_id(reader, list(plan.labels))
        self._identities = {row.id: row.identity for row in rows}
        self._runs = frozenset(row.run for row in rows)
        self._frames = 0
        self._missing = dict.fromkeys(plan.cameras, 0.0)

    def pictures(self, progress: Progress) -> Iterator[Image]:
        total = sum(span.seconds for span in self._plan.spans)
        done = 0.0
        before: Span | None = None
        for span in self._plan.spans:
            if before is not None:
                yield from self._card(before, span)
            for passed, image in self._span(span):
                self._frames += 1
                yield image
                progress(done + passed, total)
            done += span.seconds
            before = span
        progress(total, total)

    def report(self, out: Path) -> ClipReport:
        notes = CAVEATS if self._plan.blur_others else ()
        return ClipReport(
            path=out,
            cameras=self._plan.cameras,
            spans=self._plan.spans,
            seconds=self._frames / self.rate,
            frames=self._frames,
            missing={camera: gone for camera, gone in self._missing.items() if gone > STALE},
            notes=notes,
        )

    def _card(self, before: Span, after: Span) -> Iterator[Image]:
        image = card(
            self.layout,
            [
                f"{iso_text(before.end)[11:19]} to {iso_text(after.start)[11:19]} UTC left out",
                f"{after.start - before.end:.0f} seconds",
            ],
        )
        for _ in range(round(CARD * self.rate)):
            self._frames += 1
            yield image

    def _span(self, span: Span) -> Iterator[tuple[float, Image]]:
        views = [
            _View(
                self._footage.frames(camera, span.start - STALE, span.end),
                PeopleShown(
                    self._reader,
                    camera,
                    span.start,
                    span.end,
                    labels=self._plan.labels,
                    identities=self._identities,
                    runs=self._runs,
                ),
                self._plan.blur_others,
            )
            for camera in self._plan.cameras
        ]
        step = 1 / self.rate
        for tick in range(max(1, round(span.seconds * self.rate))):
            now = span.start + tick * step
            image = canvas(self.layout, now)
            for camera, view in zip(self._plan.cameras, views, strict=True):
                picture = view.at(now, step)
                if picture is None:
                    self._missing[camera] += step
                place(image, self.layout.tiles[camera], camera, picture)
            yield now - span.start, image


class _View:
    """One camera's annotated picture of the moment."""

    def __init__(self, frames: Iterator[FootageFrame], people: PeopleShown, blur: bool) -> None:
        self._frames = frames
        self._people = people
        self._blur = blur
        self._next = next(frames, None)
        self._raw: FootageFrame | None = None
        self._shown: Image | None = None

    def at(self, now: float, step: float) -> Image | None:
        """The newest picture at a moment; None if there is none of about then."""
        newest = self._raw
        while self._next is not None and self._next.time <= now + step / 2:
            newest = self._next
            self._next = next(self._frames, None)
        if newest is None or now - newest.time > max(STALE, 2 * step):
            return None
        if newest is not self._raw or self._shown is None:
            self._raw, self._shown = newest, self._annotated(newest)
        return self._shown

    def _annotated(self, frame: FootageFrame) -> Image:
        image = frame.image.copy()
        if self._blur:
            hide(image, self._people.hidden(frame.time))
        draw(image, self._people.marks(frame.time))
        return image
