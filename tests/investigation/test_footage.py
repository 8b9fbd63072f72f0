"""Footage by the clock: over the borders of segments, around gaps, playable in a browser."""

from __future__ import annotations

import io
from pathlib import Path

import av
import pytest

from investigation.replay.footage import Footage, Span
from investigation.replay.remux import media_type, playback
from reid.errors import DataError
from storage.queries import StoreReader
from tests.investigation.recorded import (
    FPS,
    START,
    add_recording,
    make_store,
    numbered,
    packets,
    record,
    write_segment,
)
from tests.pipeline.numbered_videos import number_of


@pytest.fixture
def footage(tmp_path: Path):
    """Sixty numbered pictures at 10 a second in six segments; the fourth (30 to 39) is lost."""
    store, run = make_store(tmp_path, "door", "empty")
    with store:
        record(store, "door", numbered(tmp_path), START, leave_out=(3,), run=run)
        yield Footage(store.reader())


def test_frames_over_borders_and_gaps(footage: Footage) -> None:
    found = list(footage.frames("door", START + 1.45, START + 4.25))
    assert [number_of(f.image) for f in found] == [*range(15, 30), 40, 41, 42]
    assert [f.time for f in found] == pytest.approx(
        [START + number_of(f.image) / FPS for f in found], abs=1e-3
    )


def test_spans_show_the_gap(footage: Footage) -> None:
    spans = footage.spans("door", START + 0.5, START + 100)
    assert spans == [Span(START + 0.5, pytest.approx(START + 3)), Span(START + 4, START + 6)]
    assert footage.spans("empty", START, START + 1) == []
    assert footage.recorded(START, START + 1) == ["door"]


def test_a_moment_recorded_twice_is_given_once(tmp_path: Path) -> None:
    store, run = make_store(tmp_path, "door")
    with store:
        source = numbered(tmp_path, 30)
        record(store, "door", source, START, run=run)
        record(store, "door", source, START + 0.001, groups_each=2)
        frames = list(Footage(store.reader()).frames("door", START, START + 9))
        assert [number_of(f.image) for f in frames] == list(range(30))
        played = b"".join(playback(Footage(store.reader()), "door", START, START + 9).chunks)
    assert [n for n, _ in shown(played)] == list(range(30))


def shown(mp4: bytes) -> list[tuple[int, float]]:
    """(number, seconds) of each picture of an MP4."""
    with av.open(io.BytesIO(mp4)) as container:
        pictures = list(container.decode(video=0))
    return [(number_of(p.to_ndarray(format="bgr24")), p.time) for p in pictures]


def test_remux_copies_from_the_key_frame_before(footage: Footage) -> None:
    piece = playback(footage, "door", START + 1.55, START + 4.5)
    assert piece.copied
    assert piece.start == pytest.approx(START + 1, abs=1e-3)
    pictures = shown(b"".join(piece.chunks))
    numbers = [n for n, _ in pictures]
    assert numbers[:20] == list(range(10, 30))
    assert set(range(40, 46)) <= set(numbers)
    # The MP4's clock is the camera's, behind the gap as well.
    assert piece.start - 0.25 < piece.origin < piece.start
    captured = [piece.origin + s for _, s in pictures]
    assert captured == pytest.approx([START + n / FPS for n in numbers], abs=2e-3)


def test_a_moment_just_before_a_key_frame(tmp_path: Path) -> None:
    """FFmpeg seeks by decoding time: it once went to the key frame behind the moment."""
    store, run = make_store(tmp_path, "door")
    with store:
        record(store, "door", numbered(tmp_path, 40), START, groups_each=4, run=run)
        footage = Footage(store.reader())
        piece = playback(footage, "door", START + 1.95, START + 3)
        assert piece.start == pytest.approx(START + 1, abs=1e-3)
        found = [number_of(f.image) for f in footage.frames("door", START + 1.85, START + 2.15)]
        assert found == [19, 20, 21]


def test_remux_does_not_encode_what_it_copies(footage: Footage, tmp_path: Path) -> None:
    def payloads(file) -> list[bytes]:
        with av.open(file) as container:
            return [bytes(p) for p in container.demux(video=0) if p.size]

    played = b"".join(playback(footage, "door", START, START + 2.95).chunks)
    original = payloads(str(tmp_path / "numbered.mp4"))
    assert payloads(io.BytesIO(played)) == original[:30]


def test_the_first_piece_comes_before_all_is_read(footage: Footage) -> None:
    chunks = playback(footage, "door", START, START + 6).chunks
    head = next(chunks) + next(chunks)
    assert head[4:8] == b"ftyp" and b"moov" in head
    rest = b"".join(chunks)
    assert rest.count(b"moof") + head.count(b"moof") >= 5


def test_what_browsers_do_not_play_is_encoded(tmp_path: Path) -> None:
    store, run = make_store(tmp_path, "old")
    with store:
        source = numbered(tmp_path, 30, codec="mpeg4")
        record(store, "old", source, START, codec="mpeg4", run=run)
        piece = playback(Footage(store.reader()), "old", START + 1.25, START + 2.5)
        assert not piece.copied
        assert piece.start == pytest.approx(START + 1.25, abs=1e-3)
        played = b"".join(piece.chunks)
    with av.open(io.BytesIO(played)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    pictures = shown(played)
    assert [n for n, _ in pictures] == list(range(13, 26))
    seconds = [s - pictures[0][1] for _, s in pictures]
    assert seconds == pytest.approx([i / FPS for i in range(13)], abs=2e-3)


def test_hevc_is_copied_only_for_browsers_that_play_it(tmp_path: Path) -> None:
    store, run = make_store(tmp_path, "new")
    with store:
        source = numbered(tmp_path, 40, codec="libx265")
        record(store, "new", source, START, groups_each=2, codec="hevc", run=run)
        footage = Footage(store.reader())
        anew = playback(footage, "new", START + 1.25, START + 2.5)
        assert not anew.copied
        assert media_type(b"".join(anew.chunks)).startswith('video/mp4; codecs="avc1.')
        piece = playback(footage, "new", START + 1.25, START + 2.5, hevc=True)
        assert piece.copied
        played = b"".join(piece.chunks)
    # x265 at 160x120 and 10 pictures a second, progressive: Main, level 1.
    assert media_type(played) == 'video/mp4; codecs="hvc1.1.6.L30.90"'
    with av.open(io.BytesIO(played)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.codec_tag) == ("hevc", "hvc1")
    pictures = shown(played)
    numbers = [n for n, _ in pictures]
    assert numbers[:16] == list(range(10, 26))
    captured = [piece.origin + s for _, s in pictures]
    assert captured == pytest.approx([START + n / FPS for n in numbers], abs=2e-3)


@pytest.mark.parametrize(
    ("record", "name"),
    [
        # The two that ISO/IEC 14496-15, E.3 gives as examples, and two that browsers are asked for.
        ("01 01 40000000 b00000000000 5d", "hvc1.1.2.L93.B0"),
        ("01 01 60000000 b00000000000 5d", "hvc1.1.6.L93.B0"),
        ("01 64 82000000 b02300000000 78", "hvc1.A4.41.H120.B0.23"),
        ("01 02 20000000 b00000000000 96", "hvc1.2.4.L150.B0"),
    ],
)
def test_names_of_hevc(record: str, name: str) -> None:
    head = b"....moov....hvcC" + bytes.fromhex(record) + b"rest"
    assert media_type(head) == f'video/mp4; codecs="{name}"'


def test_what_is_neither_is_refused() -> None:
    with pytest.raises(DataError, match=r"H\.264 or HEVC"):
        media_type(b"....moov....vp09")


def test_a_lost_file_is_a_gap(footage: Footage, caplog: pytest.LogCaptureFixture) -> None:
    lost = footage.segments("door", START + 1, START + 1.9)[-1]
    assert lost.start == pytest.approx(START + 1)
    lost.path.unlink()
    found = [number_of(f.image) for f in footage.frames("door", START + 0.5, START + 2.45)]
    assert found == [5, 6, 7, 8, 9, 20, 21, 22, 23, 24]
    assert "no longer there" in caplog.text
    assert shown(b"".join(playback(footage, "door", START + 1.2, START + 3).chunks))[0][0] == 20


def test_bad_questions(footage: Footage) -> None:
    with pytest.raises(DataError, match="the end is not after the start"):
        footage.frames("door", START + 2, START + 1)
    with pytest.raises(DataError, match=r"camera 'shed' is not in store .*it has: door, empty"):
        playback(footage, "shed", START, START + 1)
    with pytest.raises(DataError, match="camera door: nothing is recorded between"):
        playback(footage, "door", START + 100, START + 101)


def test_real_footage(shared: Path, tmp_path: Path) -> None:
    """PETS has B frames and two seconds between key frames."""
    store, run = make_store(tmp_path, "left")
    with store:
        source = shared / "footage" / "pets_left.mp4"
        record(store, "left", source, START, groups_each=3, run=run, size=(344, 576))
        reader = Footage(store.reader())
        with av.open(str(source)) as container:
            truth = []
            for index, frame in enumerate(container.decode(video=0)):
                if 55 <= index <= 70:
                    truth.append(frame.to_ndarray(format="bgr24"))
                if index > 70:
                    break
        found = list(reader.frames("left", START + 5.5, START + 7))
        assert len(found) == len(truth) == 16
        assert all((f.image == t).all() for f, t in zip(found, truth, strict=True))


def test_store_reader_alone_is_enough(footage: Footage, tmp_path: Path) -> None:
    with StoreReader.open(f"sqlite:///{tmp_path / 'site.db'}") as reader:
        frames = list(Footage(reader).frames("door", START, START + 0.45))
    assert [number_of(f.image) for f in frames] == [0, 1, 2, 3, 4]


def test_a_copy_goes_on_where_the_next_recording_begins_a_little_early(tmp_path: Path) -> None:
    """A live camera's clock was set right in between; its next key frame is a second off."""
    store, run = make_store(tmp_path, "door")
    with store:
        source = numbered(tmp_path)
        groups = list(packets(source))
        for index, early in ((0, 0.0), (2, 0.15)):
            path = f"recordings/door-{index}.mp4"
            begin = write_segment(source, groups[index : index + 2], store.media / path)
            start = START + begin - early
            add_recording(store, "door", path, start, start + 2.0, run=run)
        played = b"".join(playback(Footage(store.reader()), "door", START, START + 9).chunks)
    assert [number for number, _ in shown(played)] == list(range(40))
