"""One camera or file, opened and decoded with PyAV (devices: see devices.py). No threads here."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.clock import FileClock, LiveClock, PacketClock, nominal_rate
from pipeline.config import FIRST_MOMENT, LAST_START, CameraConfig
from pipeline.pictures import MODIFIED, Image, Picture, Source, StreamInfo
from reid.errors import SourceError

if TYPE_CHECKING:
    from pipeline.recorder import Tape

# A file's odd bytes in its metadata are no reason to refuse it. PyAV 19 dropped the switch.
_LENIENT: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)

_MICROSECOND = Fraction(1, 1_000_000)
FIRST_PICTURE = 3  # times read_timeout

log = logging.getLogger(__name__)


def open_source(camera: CameraConfig, threads: int = 1, tape: Tape | None = None) -> Source:
    """Open a camera.

    Args:
        camera: its configuration.
        threads: decoder threads, for files.
        tape: where its packets are recorded, if they are.

    Raises:
        SourceError: naming the camera and the reason, without any password.
    """
    if camera.url.kind == "device":
        from pipeline.devices import DeviceSource

        return DeviceSource(camera)
    return VideoSource(camera, threads, tape)


@dataclass(frozen=True, slots=True)
class _VideoPicture:
    time: float
    frame: VideoFrame

    def image(self) -> Image:
        image = cast(Image, self.frame.to_ndarray(format="bgr24"))
        turns = round(self.frame.rotation / 90) % 4
        # The display matrix turns counterclockwise, as numpy's rot90 does.
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


class _PictureWatch:
    """Notices a live stream that sends data but no pictures; FFmpeg's time-out sees only silence.

    Args:
        patience: seconds without a picture. The first may take `FIRST_PICTURE` times as long: a
            stream is joined between two key frames, which some cameras send seldom.
    """

    def __init__(self, patience: float) -> None:
        self._patience = self._limit = patience
        self._limit *= FIRST_PICTURE
        self._last = time.monotonic()
        self.packets = 0  # of the video, since the last picture

    def picture(self) -> None:
        """A picture came."""
        self._last, self._limit, self.packets = time.monotonic(), self._patience, 0

    def stall(self) -> str | None:
        """What is wrong, if no picture came for too long."""
        if time.monotonic() - self._last <= self._limit:
            return None
        times = "" if self._limit == self._patience else f"{FIRST_PICTURE} times "
        if self.packets:
            came = f"though {self.packets} packets of the video came: none could be decoded"
        else:
            came = "nor any packet of the video, though other streams go on"
        return f"no picture for {self._limit:g} s ({times}read_timeout), {came}"


class VideoSource:
    """A file, HTTP or RTSP stream, decoded with PyAV."""

    def __init__(self, camera: CameraConfig, threads: int = 1, tape: Tape | None = None) -> None:
        """Open the stream and find its video.

        Raises:
            SourceError: if it cannot be opened within the time-out or holds no video.
        """
        self._camera = camera
        self._tape = tape
        self._check_file()
        began = time.monotonic()
        try:
            self._container: InputContainer = av.open(
                camera.url.secret(),
                options=self._options(),
                timeout=(camera.open_timeout, camera.read_timeout),
                **_LENIENT,
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = self._reason(error)
            if time.monotonic() - began > 0.95 * camera.open_timeout:
                # FFmpeg's RTSP calls its own interruption "invalid data".
                reason = f"no answer within {camera.open_timeout:g} s (open_timeout)"
            raise self._error(f"cannot be opened: {reason}") from None
        try:
            self._stream = self._video_stream()
            self.info = self._describe()
            context = self._stream.codec_context
            # Frame threads delay the picture: fine for a file, wrong for a live camera.
            context.thread_type = "SLICE" if self.info.is_live else "AUTO"
            context.thread_count = 1 if self.info.is_live else max(1, threads)
            if tape is not None:
                tape.connect(self._stream, self.info.is_live)
        except BaseException:
            self._container.close()
            raise

    def pictures(self, after: float = float("-inf")) -> Iterator[Picture]:
        """Yield every frame in order.

        Raises:
            SourceError: if a read fails or times out, or a file ends before its header says;
                the frames up to there were yielded.
        """
        if self.info.is_live:
            yield from self._live(LiveClock(after))
        else:
            yield from self._file()

    def close(self) -> None:
        """Close the container; the recording of it is complete."""
        if self._tape is not None:
            self._tape.disconnect()
        self._container.close()

    def _file(self) -> Iterator[Picture]:
        stream, info = self._stream, self.info
        step = 1 / (info.frame_rate or 25.0)
        base = float(stream.time_base or 0)
        first = None if stream.start_time is None else stream.start_time * base
        clock = FileClock(info.start or 0.0, first, step)
        packets = PacketClock(info.start or 0.0, first, step)
        count, damaged, last_damaged, end = 0, 0, False, info.start or 0.0
        for packet in self._packets(stream):
            if self._tape is not None:
                times = (None if t is None else t * base for t in (packet.pts, packet.dts))
                self._tape.packet(packet, packets.time(*times))
            try:
                frames = packet.decode()
            except av.error.FFmpegError:  # one damaged packet; the next may be whole
                damaged, last_damaged = damaged + 1, True
                continue
            for frame in frames:
                if frame.is_corrupt:
                    damaged, last_damaged = damaged + 1, True
                    continue
                last_damaged = False
                count += 1
                end = clock.time(None if frame.pts is None else frame.pts * base)
                yield _VideoPicture(end, frame)
        self._check_end(count, end - (info.start or 0.0) + step, damaged, last_damaged)

    def _live(self, clock: LiveClock) -> Iterator[Picture]:
        base = float(self._stream.time_base or 0)
        # Motion JPEG has no clock; FFmpeg counts its pictures as if 25 came a second.
        began = time.time() if self._container.format.name == "mpjpeg" else None
        if began is not None:
            base = float(_MICROSECOND)
        watch = _PictureWatch(self._camera.read_timeout)
        for packet in self._packets():  # of all streams: sound that goes on hides no frozen picture
            if packet.stream.index != self._stream.index:
                self._check(watch)
                continue
            watch.packets += 1
            now = time.time()
            if began is not None:
                packet.time_base, packet.duration = _MICROSECOND, 0
                packet.pts = packet.dts = round((now - began) / base)
            pts = None if packet.pts is None else packet.pts * base
            clock.observe(pts, now)
            if self._tape is not None:
                self._tape.packet(packet, clock.at(pts, now))
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                log.debug("camera %s: a damaged packet: %s", self._camera.id, error.strerror)
                frames = []
            for frame in frames:
                pts = None if frame.pts is None else frame.pts * base
                yield _VideoPicture(clock.time(pts, time.time()), frame)
                watch.picture()
            self._check(watch)
        raise self._error("the stream ended")

    def _check(self, watch: _PictureWatch) -> None:
        if (stall := watch.stall()) is not None:
            raise self._error(stall)

    def _packets(self, *streams: VideoStream) -> Iterator[Any]:
        """Packets of these streams, or of all that there are."""
        try:
            yield from self._container.demux(*streams)
        except (av.error.FFmpegError, OSError) as error:
            raise self._error(f"reading failed: {self._reason(error)}") from None

    def _check_end(self, count: int, seconds: float, damaged: int, last_damaged: bool) -> None:
        """Say so if a file ended before its header says, or held nothing.

        Raises:
            SourceError: with how much there was and how much the header promises.
        """
        info = self.info
        if count == 0:
            raise self._error("holds no picture that can be decoded")
        few = info.frames - count > max(2.0, 0.02 * info.frames)
        length, rate = info.duration, info.frame_rate or 25.0
        short = length is not None and length - seconds > max(2.5 / rate, 0.02 * length)
        if "mp4" in self._container.format.name and info.frames:
            early = few and short  # an edit list hides frames on purpose; the length knows
        else:
            early = few if info.frames else short
        if early or last_damaged:
            of_frames = f" of {info.frames}" if info.frames else ""
            of_length = f" of {length:.1f}" if length else ""
            raise self._error(
                f"ends early: {count}{of_frames} frames, {seconds:.1f}{of_length} s; "
                "the file is cut off or damaged"
            )
        if damaged:
            log.warning("camera %s: skipped %d damaged pictures", self._camera.id, damaged)

    def _options(self) -> dict[str, str]:
        if self._camera.url.kind == "rtsp":
            return {"rtsp_transport": self._camera.transport}
        return {}

    def _check_file(self) -> None:
        if self._camera.url.kind != "file":
            return
        path = Path(self._camera.url.secret())
        if path.is_dir():
            raise self._error("is a directory; give the path of a video file")
        if not path.exists():
            raise self._error("there is no such file")
        if not path.is_file():  # opening a pipe could wait forever
            raise self._error("is no regular file")
        if path.stat().st_size == 0:
            raise self._error("the file is empty")

    def _video_stream(self) -> VideoStream:
        videos = [
            s
            for s in self._container.streams.video
            if not s.disposition & Disposition.attached_pic  # an album cover is no video
        ]
        if not videos or self._container.format.name == "tty":  # FFmpeg films text files
            kinds = [
                f"{s.type} {s.codec_context.name if s.codec_context else '?'}"
                for s in self._container.streams
                if s not in videos
            ]
            holds = f"; it holds: {', '.join(kinds)}" if kinds else ""
            raise self._error(f"has no video stream{holds}")
        stream = videos[0]
        if stream.codec_context is None:
            raise self._error("the video's codec is not known to this build of FFmpeg")
        return stream

    def _describe(self) -> StreamInfo:
        stream, container, camera = self._stream, self._container, self._camera
        duration = None
        if stream.duration is not None and stream.time_base is not None:
            duration = float(stream.duration * stream.time_base)
        if container.duration is not None and (duration is None or "mp4" in container.format.name):
            only_video = len(container.streams) == 1
            if duration is not None:
                duration = min(duration, container.duration / av.time_base)
            elif only_video:
                duration = container.duration / av.time_base
        is_live = camera.url.kind == "rtsp" or bool(camera.live)
        if camera.url.kind == "http" and camera.live is None:
            is_live = container.duration is None
        start, start_from = (None, "") if is_live else self._start()
        return StreamInfo(
            codec=stream.codec_context.name,
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            frame_rate=nominal_rate(stream.average_rate, stream.guessed_rate),
            duration=duration,
            frames=stream.frames,
            is_live=is_live,
            start=start,
            start_from=start_from,
        )

    def _start(self) -> tuple[float, str]:
        """When a file's first picture was taken: configuration, metadata, modification time."""
        if self._camera.start_time is not None:
            return self._camera.start_time.timestamp(), "configuration"
        metadata = {**self._stream.metadata, **self._container.metadata}
        for key in ("com.apple.quicktime.creationdate", "creation_time"):
            moment = _moment(metadata.get(key, ""))
            if moment is not None:
                return moment, "metadata"
        if self._camera.url.kind == "file":
            modified = Path(self._camera.url.secret()).stat().st_mtime
            if not FIRST_MOMENT.timestamp() <= modified < LAST_START.timestamp():
                raise self._error(
                    "the file was last modified before 1970 or after 9998: give its start_time"
                )
            return modified, MODIFIED
        log.warning(
            "camera %s: neither start_time nor metadata say when it was recorded: taking now",
            self._camera.id,
        )
        return time.time(), "now"

    def _error(self, reason: str) -> SourceError:
        return SourceError(f"camera {self._camera.id} ({self._camera.url}): {reason}")

    def _reason(self, error: Exception) -> str:
        """Put a decoder's error in words; its own text echoes the address, so it is not used."""
        if isinstance(error, av.error.ExitError):
            return f"nothing came for {self._camera.read_timeout:g} s (read_timeout)"
        if isinstance(error, av.error.InvalidDataError):
            return "it is no video, or it is damaged (FFmpeg: invalid data)"
        if isinstance(error, av.error.HTTPUnauthorizedError):
            return "the user name or password is refused (401)"
        text = getattr(error, "strerror", None) or type(error).__name__
        return self._camera.url.clean(str(text))


def decoder_threads(files: int) -> int:
    """Decoder threads for each of `files` video files that are read at once."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min(4, cores // max(1, files)))


def _moment(text: str) -> float | None:
    """Read a metadata time; one without a zone is UTC, as FFmpeg writes it."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # 1904 and 1970 mean "not set"
    return moment.timestamp() if moment.year >= 1990 and moment < LAST_START else None
