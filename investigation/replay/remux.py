"""A stretch of one camera's recordings as one fragmented MP4 that a browser plays while it comes.

H.264 is copied packet by packet, and HEVC for a browser that plays it; anything else is encoded
anew, because browsers do not play it, and made smaller where it is large, so that it is there in
time. The MP4's clock is the camera's:
second s of it was captured at `origin + s`, also behind a gap in the recordings, where the last
picture stays. So several cameras play side by side by one clock.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer

from investigation.replay.footage import Footage
from reid.errors import DataError, SourceError
from storage.footage.recorded_video import opened, wind
from storage.footage.recordings import RecordingRow
from storage.models import iso_text

log = logging.getLogger(__name__)

TICKS = 90_000  # of the MP4's clock, a second
ENCODER = "libx264"
LIVE_PIXELS = 1280 * 720  # of a picture that is encoded while somebody waits for it
SOON = 0.2  # seconds of footage after which what is encoded is handed over
OVERLAP = 1.0  # seconds by which a recording may begin before the one before it ends
_TICK = Fraction(1, TICKS)
_MOVFLAGS = "empty_moov+default_base_moof+frag_keyframe"
_H264 = ("yuv420p", "yuvj420p")
_HEVC = (*_H264, "yuv420p10le")


@dataclass(frozen=True, slots=True, eq=False)
class Playback:
    """What is played.

    Attributes:
        camera: whose footage.
        start: capture time of its first picture, UTC seconds: the key frame at or before what was
            asked for when copied; never after it unless nothing was recorded there.
        origin: capture time of the MP4's second 0, UTC seconds: `start`, or a few pictures before
            it where pictures are made of later ones (B frames).
        end: where it was asked to end, UTC seconds. A copy ends early, with a warning in the log,
            before a recording that was coded in another way; ask again from there.
        copied: True if the packets are the camera's own, False if they were encoded anew.
        chunks: the MP4, piece by piece; can be read once.
    """

    camera: str
    start: float
    origin: float
    end: float
    copied: bool
    chunks: Iterator[bytes]


class Pieces(io.RawIOBase):
    """A file that the muxer writes into and from which what is ready is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Keep what was written."""
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Hand over what there is."""
        ready = b"".join(self._parts)
        self._parts.clear()
        return ready


def playback(
    footage: Footage, camera: str, start: float, end: float, *, hevc: bool = False
) -> Playback:
    """Prepare the MP4 of a stretch of time; nothing is read on before `chunks` is.

    Args:
        footage: the recordings.
        camera: whose.
        start: UTC seconds.
        end: UTC seconds.
        hevc: whether HEVC may be handed over as it is. Most browsers play it only where the
            machine decodes it in hardware.

    Raises:
        DataError: if the times run backwards, the store does not know the camera, nothing is
            recorded there, or nothing of it can be read.
    """
    rows = footage.segments(camera, start, end)
    if not rows:
        raise DataError(
            f"camera {camera}: nothing is recorded between {iso_text(start)} and {iso_text(end)}"
        )
    for index, row in enumerate(rows):
        try:
            first = _first(row, start, hevc)
        except SourceError as error:
            log.warning("%s", error)
            continue
        if first is None:
            continue
        if first.playable:
            origin = first.time - first.lag
            chunks = _copied(rows[index:], first.time, origin, end)
            return Playback(camera, first.time, origin, end, True, chunks)
        begin = max(first.time, min(start, row.end))
        return Playback(camera, begin, begin, end, False, _encoded(footage, camera, begin, end))
    raise DataError(f"camera {camera}: none of its {len(rows)} recordings there can be read")


@dataclass(frozen=True, slots=True)
class _First:
    """The key frame to begin with: capture time, seconds it is decoded ahead, can be copied."""

    time: float
    lag: float
    playable: bool


def _first(row: RecordingRow, start: float, hevc: bool) -> _First | None:
    with opened(row) as (container, stream):
        base, tick = wind(container, stream, start - row.start), stream.time_base
        for packet in container.demux(stream):
            if packet.pts is not None and packet.is_keyframe:
                context = stream.codec_context
                playable = _playable(context, hevc)
                time = row.start + float((packet.pts - base) * tick)
                return _First(time, _lag(packet, tick), playable)
    return None


def _playable(context: Any, hevc: bool) -> bool:
    """Whether a browser takes the packets as they are."""
    if context.name == "hevc" and hevc:
        extra = bytes(context.extradata or b"")  # hvcC; without its parameter sets nothing decodes
        return context.pix_fmt in _HEVC and len(extra) > 22 and extra[0] == 1 and extra[22] > 0
    return context.name == "h264" and context.pix_fmt in _H264


def _lag(packet: Any, tick: Fraction) -> float:
    """Seconds between a picture's decoding and its presentation."""
    return 0.0 if packet.dts is None else float((packet.pts - packet.dts) * tick)


def _copied(
    rows: Sequence[RecordingRow], begin: float, origin: float, end: float
) -> Iterator[bytes]:
    """The packets from the key frame at `begin` on, as they are."""
    pieces = Pieces()
    target: Any = None
    coding = b""
    written, covered = -1, begin - 0.5 / TICKS
    run: int | None = None
    with _muxer(pieces) as out:
        for row in rows:
            if row.closed and target is not None and row.end <= covered:
                continue  # another run recorded the same
            try:
                with opened(row) as (container, stream):
                    extra = bytes(stream.codec_context.extradata or b"")
                    if target is None:
                        coding = extra
                        target = out.add_stream_from_template(stream)
                        target.time_base = _TICK
                        if stream.codec_context.name == "hevc":
                            target.codec_context.codec_tag = "hvc1"  # Safari takes no hev1
                    elif extra != coding:
                        log.warning(
                            "camera %s: recording %s is coded in another way; playback ends there",
                            row.camera,
                            row.path,
                        )
                        break
                    for packet, time in _packets(
                        container, stream, row, covered, end, row.run is not None and row.run == run
                    ):
                        lag = _lag(packet, stream.time_base)
                        written = max(round((time - lag - origin) * TICKS), written + 1)
                        packet.dts = written
                        packet.pts = max(round((time - origin) * TICKS), written)
                        packet.time_base = _TICK
                        packet.stream = target
                        covered = max(covered, time)
                        out.mux_one(packet)
                        if ready := pieces.take():
                            yield ready
                run = row.run
            except SourceError as error:
                log.warning("%s", error)
    if ready := pieces.take():
        yield ready


def _packets(
    container: Any, stream: Any, row: RecordingRow, after: float, end: float, follows: bool
) -> Iterator[tuple[Any, float]]:
    """Packets with their capture times, from the first key frame later than `after`.

    Where the recording `follows` another of its run, but begins a little before that ends, all of
    it is taken: its camera's clock was set right in between, and its next key frame may be far.
    """
    base, tick = wind(container, stream, after - row.start), stream.time_base
    begun = False
    for packet in container.demux(stream):
        if packet.pts is None:
            continue
        time = row.start + float((packet.pts - base) * tick)
        opening = follows and packet.pts == base and time > after - OVERLAP
        begun = begun or (packet.is_keyframe and (time > after or opening))
        if not begun:
            continue
        if time - _lag(packet, tick) > end:
            return
        yield packet, time


def _encoded(footage: Footage, camera: str, begin: float, end: float) -> Iterator[bytes]:
    """The pictures from `begin` on, encoded for browsers."""
    pieces = Pieces()
    target: Any = None
    written = -1
    rate = footage.frame_rate(camera, begin, end) or 25.0
    with _muxer(pieces, SOON) as out:
        for found in footage.pictures(camera, begin, end):
            picture = found.frame
            if found.turned:
                picture = av.VideoFrame.from_ndarray(found.image(), format="bgr24")
            if target is None:
                smaller = min(1.0, math.sqrt(LIVE_PIXELS / (picture.width * picture.height)))
                size = (round(picture.width * smaller), round(picture.height * smaller))
                target = add_h264(out, *size, rate, live=True)
            picture = picture.reformat(target.width, target.height, "yuv420p")
            written = max(round((found.time - begin) * TICKS), written + 1)
            picture.pts, picture.time_base, picture.pict_type = written, _TICK, 0
            out.mux(target.encode(picture))
            if ready := pieces.take():
                yield ready
        if target is not None:
            out.mux(target.encode())
    if ready := pieces.take():
        yield ready


def media_type(head: bytes) -> str:
    """How a browser is told what is in an MP4, from its first bytes: `video/mp4; codecs="..."`.

    Args:
        head: with all of the `moov` box of a fragmented MP4 of H.264 or HEVC.

    Raises:
        DataError: if neither is described there.
    """
    for box, name in ((b"avcC", _avc1), (b"hvcC", _hvc1)):
        at = head.find(box)
        if at >= 0 and len(head) >= at + 4 + 13:
            return f'video/mp4; codecs="{name(head[at + 4 :])}"'
    raise DataError("the footage cannot be handed over as H.264 or HEVC")


def _avc1(record: bytes) -> str:
    """RFC 6381: AVCProfileIndication, profile_compatibility, AVCLevelIndication."""
    return f"avc1.{record[1:4].hex()}"


def _hvc1(record: bytes) -> str:
    """ISO/IEC 14496-15, E.3: profile, compatibility (bits reversed), tier, level, constraints."""
    space, high, profile = record[1] >> 6, record[1] & 0x20, record[1] & 0x1F
    compatible = int(f"{int.from_bytes(record[2:6]):032b}"[::-1], 2)
    constraints = [f"{byte:X}" for byte in record[6:12].rstrip(b"\0")]
    level = f"{'H' if high else 'L'}{record[12]}"
    first = f"{['', 'A', 'B', 'C'][space]}{profile}"
    return ".".join(["hvc1", first, f"{compatible:X}", level, *constraints])


def add_h264(
    out: OutputContainer, width: int, height: int, rate: float, *, live: bool = False
) -> Any:
    """Add an H.264 stream that every browser plays, with a key frame every two seconds.

    Args:
        out: where to.
        width: pixels; H.264 takes even numbers, an odd one loses a pixel.
        height: pixels, likewise.
        rate: nominal frames a second.
        live: for watching at once: fast, without pictures that wait for later ones.
    """
    stream: Any = out.add_stream(ENCODER, rate=Fraction(rate).limit_denominator(1001))
    stream.width, stream.height, stream.pix_fmt = width // 2 * 2, height // 2 * 2, "yuv420p"
    stream.time_base = stream.codec_context.time_base = _TICK
    stream.codec_context.gop_size = max(1, round(2 * rate))
    # With its macroblock tree x264 gives other bytes for the same pictures now and then on CPUs
    # with AVX-512; a case exported twice has to be the same file.
    stream.options = {"preset": "veryfast", "crf": "20", "mbtree": "0"}
    if live:
        stream.options = {"preset": "superfast", "crf": "23", "tune": "zerolatency"}
    return stream


def _muxer(pieces: Pieces, fragment: float = 1.0) -> OutputContainer:
    """Fragments end with a key frame or after this many seconds."""
    options = {"movflags": _MOVFLAGS, "frag_duration": f"{fragment * 1e6:.0f}"}
    return av.open(pieces, "w", format="mp4", options={**options, "flush_packets": "1"})
