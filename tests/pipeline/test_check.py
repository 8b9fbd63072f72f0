import pytest

import run_pipeline
from tests.pipeline.numbered_videos import write_audio, write_video


@pytest.fixture
def cams(tmp_path):
    write_video(tmp_path / "a.mp4", frames=5, metadata={"creation_time": "2020-01-02T03:04:05Z"})

    def write(text):
        path = tmp_path / "cams.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_all_good(cams, capsys):
    path = cams("cameras:\n- {id: a, url: a.mp4}\n- {id: b, url: x.mp4, enabled: false}\n")
    assert run_pipeline.main(["check", path]) == 0
    out = capsys.readouterr().out
    for part in ("a.mp4", "h264", "160x120", "10", "2020-01-02 03:04:05", "metadata", "ok"):
        assert part in out
    assert "1 of 1 cameras give pictures; 1 disabled" in out


def test_bad_ones_say_why_and_the_exit_code_is_one(cams, capsys, tmp_path):
    write_audio(tmp_path / "audio.m4a")
    (tmp_path / "empty.mp4").touch()
    path = cams(
        "cameras:\n- {id: a, url: a.mp4}\n- {id: gone, url: gone.mp4}\n"
        "- {id: sound, url: audio.m4a}\n"
        "- {id: none, url: empty.mp4}\n"
        "- {id: far, url: 'rtsp://joe:hunter2@127.0.0.1:1/x', open_timeout: 2}\n"
    )
    assert run_pipeline.main(["check", path]) == 1
    out = capsys.readouterr().out
    for part in ("no such file", "no video stream", "empty", "refused", "rtsp://joe:***@"):
        assert part in out
    assert "1 of 5 cameras" in out and "hunter2" not in out


def test_a_wrong_file_is_exit_code_two(cams, capsys):
    path = cams("cameras:\n- {id: a, url: a.mp4}\n- {id: a, url: a.mp4}\n")
    assert run_pipeline.main(["check", path]) == 2
    assert "two cameras" in capsys.readouterr().err
