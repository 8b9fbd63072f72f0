"""One file of a recording: written packet by packet, measured after a crash.

Fragmented MP4: each fragment (`moof` + `mdat`) stands for itself, begins at a key frame or after a
second, and is handed to the operating system at once; so what a killed process leaves is playable
up to its last fragment. What MP4 cannot hold goes into Matroska, whose clusters serve the same
way. Packets are copied as they came, never re-encoded.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import OutputContainer
from av.video.stream import VideoStream

from reid.errors import SourceError

log = logging.getLogger(__name__)

FRAGMENT = 1.0  # seconds; what a crash costs, at most, besides the picture in work

# No edit lists: every packet that was copied is shown. PyAV hands unknown options on to FFmpeg.
_MP4 = {
    "movflags": "+empty_moov+default_base_moof",
    "frag_duration": str(int(FRAGMENT * 1e6)),
    "flush_packets": "1",  # FFmpeg's own buffer of 32 KiB must not hold a fragment's end back
}
_MATROSKA = {"cluster_time_limit": str(int(FRAGMENT * 1e3)), "flush_packets": "1"}
_FORMATS = {".mp4": ("mp4", _MP4), ".mkv": ("matroska", _MATROSKA)}


def suffix_for(stream: VideoStream) -> str:
    """The file type that holds this stream: `.mp4`, or `.mkv` where MP4 cannot.

    Raises:
        SourceError: naming the codec, if neither can.
    """
    for suffix in _FORMATS:
        try:  # some streams are only refused when the header is written
            with _open(os.devnull, suffix, stream) as container:
                container.add_stream_from_template(stream, opaque=True)
                container.start_encoding()
        except (ValueError, av.error.FFmpegError) as error:
            log.debug("%s in %s: %s", codec_name(stream), suffix, error)
            continue
        return suffix
    raise SourceError(
        f"{codec_name(stream)} video fits neither MP4 nor Matroska and cannot be recorded"
    )


def codec_name(stream: VideoStream) -> str:
    """The codec's own name (`av1`), not that of the decoder in use (`libdav1d`)."""
    return str(stream.codec_context.codec.canonical_name)


def _open(path: str, suffix: str, stream: VideoStream) -> OutputContainer:
    name, options = _FORMATS[suffix]
    if name == "mp4" and not stream.codec_context.codec.intra_only:
        options = {**options, "movflags": options["movflags"] + "+frag_keyframe"}
    return av.open(path, "w", format=name, options=options)


class Segment:
    """A file being written. The caller sees to rising decoding times."""

    def __init__(self, path: Path, stream: VideoStream) -> None:
        """Make the file and its folder.

        Args:
            path: of the file; its suffix chooses the format.
            stream: that the packets come from.

        Raises:
            OSError: if they cannot be made.
            FFmpegError: if the format refuses the stream.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = _open(str(path), path.suffix, stream)
        self._stream = self._container.add_stream_from_template(stream, opaque=True)
        self._source = stream
        # Now, not with the first packet: PyAV might keep that one back, and it is only lent to us.
        self._container.start_encoding()

    def write(self, packet: Any, pts: int, dts: int) -> None:
        """Copy a packet.

        Args:
            packet: as read from the stream; it is the same afterwards.
            pts: presentation time to write, in the packet's own time base.
            dts: decoding time to write; above the one before.

        Raises:
            FFmpegError: if it cannot be written (OSError as well, where the disk says so).
        """
        kept = packet.pts, packet.dts, packet.duration, packet.time_base
        packet.pts, packet.dts, packet.stream = pts, dts, self._stream
        try:
            self._container.mux_one(packet)
        finally:  # muxing moves it into the file's time base; the decoder wants it as it was
            packet.stream = self._source
            packet.pts, packet.dts, packet.duration, packet.time_base = kept

    @property
    def bytes(self) -> int:
        """Size on disk by now."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Write what waits, and the index at the end.

        Raises:
            FFmpegError: if the disk refuses; what stands in the file is playable all the same.
        """
        self._container.close()


@dataclass(frozen=True, slots=True)
class Measure:
    """What a file holds: seconds from its first packet to the end of its last, and bytes."""

    seconds: float
    bytes: int


def measure(path: Path) -> Measure | None:
    """Find out what a file holds that nobody closed; cuts a half-written fragment off its end.

    Returns:
        What is there; None if it holds no packet, or there is no file.

    Raises:
        OSError: if the file cannot be read or shortened.
    """
    if not path.exists():
        return None
    if path.suffix == ".mp4":
        whole = _whole_boxes(path)
        if whole < path.stat().st_size:
            os.truncate(path, whole)
    first: int | None = None
    end, base, step = 0, Fraction(1), 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            base = stream.time_base or base
            rate = stream.average_rate or stream.guessed_rate
            step = 0 if not rate or not stream.time_base else int(1 / rate / stream.time_base)
            for packet in container.demux(stream):
                pts = packet.pts if packet.pts is not None else packet.dts
                if not packet.size or pts is None or packet.is_corrupt:
                    continue
                first = pts if first is None else first
                end = max(end, pts + (packet.duration or step))
    except (av.error.FFmpegError, IndexError) as error:  # what was read up to here counts
        log.debug("%s: %s", path, error)
    if first is None:
        return None
    return Measure(float((end - first) * base), path.stat().st_size)


def _whole_boxes(path: Path) -> int:
    """Length of a fragmented MP4 up to the end of its last whole fragment."""
    size, position, whole, movie = path.stat().st_size, 0, 0, False
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length < 8 or position + length > size:
                break
            position += length
            movie = movie or kind == b"moov"
            if kind in (b"moov", b"mdat", b"mfra"):  # a moof without its mdat is no fragment
                whole = position
    return whole if movie else size
