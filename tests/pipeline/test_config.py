import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from pipeline.config import CameraConfig, PipelineConfig, load_cameras, load_pipeline
from pipeline.config_docs import DEFAULTS, PAGE, all_fields, defaults_yaml, fields, page
from reid.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def cams(tmp_path):
    def write(text):
        path = tmp_path / "cams.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problem(load, *arguments) -> str:
    with pytest.raises(ConfigError) as caught:
        load(*arguments)
    return str(caught.value)


def test_a_list_and_a_mapping_mean_the_same(cams, tmp_path):
    a = load_cameras(cams("cameras:\n- {id: a, url: a.mp4}\n- {id: b, url: b.mp4}\n"), {})
    b = load_cameras(cams("cameras:\n  a: {url: a.mp4}\n  b: {url: b.mp4}\n"), {})
    assert a == b
    assert [c.id for c in a.cameras] == ["a", "b"]
    assert a.cameras[0].url.secret() == str(tmp_path / "a.mp4")


def test_all_keys_are_read(cams):
    camera = load_cameras(
        cams(
            "cameras:\n- id: a\n  url: a.mp4\n  start_time: 2024-05-01T08:00:00+02:00\n"
            "  max_fps: 5\n  zones: [[[0,0],[1,0],[1,1]]]\n  masks: [[[0,0],[0.5,0],[0.5,1]]]\n"
            "  place: {name: Hall, x: 1, y: -2.5}\n"
        ),
        {},
    ).cameras[0]
    assert camera.start_time == datetime(2024, 5, 1, 6, tzinfo=UTC)
    assert camera.max_fps == 5.0
    assert camera.zones == (((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)),)
    assert (camera.place.name, camera.place.x, camera.place.y) == ("Hall", 1.0, -2.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # an unknown key, with the nearest that there is
        ("cameras:\n- {id: a, url: a.mp4, max_fsp: 5}", [":2:", "[0].max_fsp", "'max_fps'"]),
        ("cameras:\n- {id: a, url: a.mp4, place: {z: 5}}", ["place.z", "name, x, y"]),
        ("camera: []", ["camera", "unknown key", "cameras"]),
        # a key given twice, at any level
        ("cameras:\n- id: a\n  url: a.mp4\n  url: b.mp4", [":4:", "url", "twice", "line 3"]),
        ("cameras: []\ncameras: []", [":2:", "cameras", "twice"]),
        ("cameras:\n  a: {url: a.mp4}\n  a: {url: b.mp4}", [":3:", "cameras.a", "twice"]),
        ("cameras:\n- {id: a, url: a.mp4, place: {x: 1, x: 2}}", ["place.x", "twice"]),
        # two cameras with one id
        ("cameras:\n- {id: a, url: a.mp4}\n- {id: a, url: b.mp4}", [":3:", "[1].id", "'a'"]),
        ("cameras:\n- {id: cam, url: a.mp4}\n- {id: Cam, url: b.mp4}", ["'Cam'", "unique"]),
        # wrong types: no quiet conversions
        ("cameras:\n- {id: a, url: a.mp4, max_fps: '5'}", ["max_fps", "'5'", "number"]),
        ("cameras:\n- {id: a, url: a.mp4, max_fps: true}", ["max_fps", "True", "number"]),
        ("cameras:\n- {id: a, url: a.mp4, enabled: 1}", ["enabled", "1", "boolean"]),
        ("cameras:\n- {id: 7, url: a.mp4}", ["[0].id", "7", "string"]),
        ("cameras:\n- {id: a, url: 7}", ["[0].url", "7", "rtsp://"]),
        ("cameras: 5", ["cameras", "5"]),
        ("- a", ["cameras", "a list"]),
        ("", ["cameras", "nothing"]),
        # values out of bounds
        ("cameras:\n- {id: a, url: a.mp4, max_fps: 0}", ["max_fps", "0", "greater than 0"]),
        ("cameras:\n- {id: a, url: a.mp4, max_fps: .nan}", ["max_fps", "nan", "finite"]),
        ("cameras:\n- {id: a, url: a.mp4, zones: [[[0,0],[2,0],[1,1]]]}", ["zones[0][1][0]", "2"]),
        ("cameras:\n- {id: a, url: a.mp4, zones: [[[0,0],[1,1]]]}", ["zones[0]", "at least 3"]),
        ("cameras:\n- {id: a, url: a.mp4, zones: [[[0,0],[1,1],[0.5,0.5]]]}", ["no area"]),
        ("cameras:\n- {id: a, url: a.mp4, transport: quic}", ["transport", "'quic'", "'udp'"]),
        ("cameras:\n- {id: 'a b', url: a.mp4}", ["[0].id", "'a b'"]),
        ("cameras:\n- {id: ../a, url: a.mp4}", ["[0].id", "'../a'"]),
        ("cameras:\n- {id: a, url: 'rtsp://h/x', reconnect_min: 9, reconnect_max: 2}", ["9", "2"]),
        ("cameras: []", ["cameras", "at least 1"]),
        # what does not go together
        ("cameras:\n- {id: a, url: a.mp4, place: {x: 1}}", ["place", "x and y"]),
        ("cameras:\n- {id: a, url: 'rtsp://h/x', start_time: '2024-05-01T08:00:00Z'}", ["start_t"]),
        (
            "cameras:\n- {id: a, url: 'http://h/x', live: true, start_time: 2024-05-01T08:00:00Z}",
            ["start_time", "live"],
        ),
        ("cameras:\n- {id: a, url: a.mp4, start_time: 2024-05-01T08:00:00}", ["timezone"]),
        ("cameras:\n- {id: a, url: a.mp4, start_time: 5}", ["start_time", "5"]),
        # the store's years: found out at the first box, they once ended the run for all cameras
        ("cameras:\n- {id: a, url: a.mp4, start_time: 1960-06-30T00:00:00Z}", ["1970 to 9998"]),
        ("cameras:\n- {id: a, url: a.mp4, start_time: 1970-01-01T00:00:00+01:00}", ["1970 to"]),
        ("cameras:\n- {id: a, url: a.mp4, start_time: 9999-12-31T23:59:59Z}", ["[0].start_time"]),
        ("cameras:\n- {id: a, url: a.mp4, start_time: 2024-13-45T00:00:00Z}", ["month"]),
        ("cameras:\n- {id: a, url: a.mp4, live: true}", ["live", "HTTP"]),
        ("cameras:\n- {id: a}", ["[0].url", "required"]),
        ("cameras:\n  a: {id: b, url: a.mp4}", ["cameras.a.id", "leave it out"]),
        ("cameras:\n- {id: a, url: a.mp4, enabled: false}", ["disabled"]),
        # addresses
        ("cameras:\n- {id: a, url: 'ftp://h/a.mp4'}", ["'ftp'", "rtsp://"]),
        ("cameras:\n- {id: a, url: ''}", ["[0].url", "empty"]),
        # no YAML at all
        ("cameras: [", ["no valid YAML"]),
        ("cameras: &a [*a]", ["holds itself"]),
        ("cameras:\n- {id: a, url: !!python/object:x {}}", ["YAML"]),
        ("cameras:\n- {id: a, url: a.mp4, ? [1] : 2}", ["plain text"]),
        ("cameras:\n- {id: a, url: !!binary aGVsbG8=}", ["bytes"]),
    ],
)
def test_bad_cameras_name_file_key_value_and_what_is_allowed(cams, text, expected):
    path = cams(text)
    message = problem(load_cameras, path, {})
    assert str(path) in message
    for part in expected:
        assert part in message
    assert "pydantic" not in message


def test_all_problems_are_listed_at_once(cams):
    message = problem(load_cameras, cams("cameras:\n- {id: a b, url: 5, max_fps: -1, nope: 1}"), {})
    assert len(message.splitlines()) == 4


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()])
def test_a_file_that_cannot_be_read(tmp_path, make):
    path = tmp_path / "cams.yaml"
    make(path)
    assert str(path) in problem(load_cameras, path, {})


def test_not_utf8(tmp_path):
    path = tmp_path / "cams.yaml"
    path.write_bytes(b"cameras: \xff\xfe")
    assert "UTF-8" in problem(load_cameras, path, {})


def test_variables(cams):
    path = cams(
        "cameras:\n- {id: a, url: 'rtsp://u:${PW}@${HOST}/s', max_fps: '${FPS}', "
        "enabled: '${ON}', place: {name: '${NAME}'}}"
    )
    environ = {"PW": "p@ss", "HOST": "cam", "FPS": "12.5", "ON": "true", "NAME": "Hall 2"}
    camera = load_cameras(path, environ).cameras[0]
    assert camera.url.secret() == "rtsp://u:p%40ss@cam/s"
    assert (camera.max_fps, camera.enabled, camera.place.name) == (12.5, True, "Hall 2")


def test_missing_variables_are_all_named_with_their_keys(cams):
    path = cams("cameras:\n- {id: a, url: 'rtsp://u:${PW}@h/s', place: {name: '${NAME}'}}")
    message = problem(load_cameras, path, {})
    assert "cameras[0].url" in message and "PW is not set" in message
    assert "cameras[0].place.name" in message and "NAME is not set" in message


SECRET = "hunter2-s3cret"


@pytest.mark.parametrize(
    "text",
    [
        # in the value that is wrong
        f"cameras:\n- {{id: a, url: 'ftp://u:{SECRET}@h/x'}}",
        f"cameras:\n- {{id: a, url: 'rtsp://u:{SECRET}@/x'}}",
        f"cameras:\n- {{id: a, url: a.mp4, transport: 'http://u:{SECRET}@h'}}",
        # under a key that is unknown
        f"cameras:\n- {{id: a, url: a.mp4, password: {SECRET}}}",
        # a variable in the wrong place
        "cameras:\n- {id: a, url: a.mp4, max_fps: '${PW}'}",
        "cameras:\n- {id: '${PW}!', url: a.mp4}",
        "cameras:\n- {id: a, url: 'ftp://${PW}/x'}",
        # on a line that is no YAML, where PyYAML shows a snippet
        f"cameras:\n- {{id: a, url: rtsp://u:{SECRET}@h/x, transport: [}}",
        f"cameras:\n- {{id: a, url: *{SECRET}}}",
        f"cameras:\n- {{id: a, url: !{SECRET} x}}",
    ],
)
def test_no_error_shows_a_password(cams, text):
    assert SECRET not in problem(load_cameras, cams(text), {"PW": SECRET})


def test_no_dump_repr_or_log_shows_a_password(cams, caplog):
    path = cams(
        f"cameras:\n- {{id: a, url: 'rtsp://u:{SECRET}@h/x'}}\n- {{id: b, url: 'http://h/${{PW}}'}}"
    )
    config = load_cameras(path, {"PW": "tok3n-in-path"})
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").info("%s %r", config, config.cameras[0])
    texts = [repr(config), str(config), config.model_dump_json(), caplog.text]
    texts += [repr(config.model_dump()), json.dumps(config.model_dump(mode="json"))]
    for text in texts:
        assert SECRET not in text and "tok3n" not in text
    assert config.cameras[1].url.secret() == "http://h/tok3n-in-path"


def test_the_stores_password_is_in_no_dump(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("store: {url: 'postgresql://u:${PW}@h/db'}")
    config = load_pipeline(path, {"PW": "p@" + SECRET})
    assert config.store.url == f"postgresql://u:p%40{SECRET}@h/db"
    for text in (repr(config), config.model_dump_json(), repr(config.model_dump())):
        assert SECRET not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("detectr: {}", ["detectr", "'detector'"]),
        ("runtime: {batch: 0}", ["runtime.batch", "0", "greater than or equal to 1"]),
        ("runtime: {batch: 8.5}", ["runtime.batch", "8.5", "integer"]),
        ("runtime: {batch: 8, batch: 9}", ["runtime.batch", "twice"]),
        ("runtime: {log_level: loud}", ["'loud'", "'debug'"]),
        ("recording: {segment: 1}", ["recording.segment", "1", "greater than or equal to 2"]),
        ("detector: 5", ["detector", "5"]),
        ("detector: {confidence: 2}", ["detector.confidence", "2"]),
    ],
)
def test_bad_pipeline(tmp_path, text, expected):
    path = tmp_path / "pipeline.yaml"
    path.write_text(text)
    message = problem(load_pipeline, path)
    for part in [str(path), *expected]:
        assert part in message


def test_an_empty_pipeline_file_and_none_are_the_defaults(tmp_path):
    path = tmp_path / "pipeline.yaml"
    path.write_text("# nothing\n")
    assert load_pipeline(path, {}) == load_pipeline(None) == PipelineConfig()


def test_shipped_pipeline_yaml_holds_every_key_with_its_default():
    assert load_pipeline(DEFAULTS, {}) == PipelineConfig()
    data = yaml.safe_load(DEFAULTS.read_text())
    for section, field in PipelineConfig.model_fields.items():
        assert set(data[section]) == set(field.annotation.model_fields)
    stale = "run `python -m pipeline.config_docs`"
    assert DEFAULTS.read_text(encoding="utf-8") == defaults_yaml(), stale


def test_shipped_cameras_example_is_valid_and_shows_every_key():
    path = ROOT / "configs" / "cams.example.yaml"
    config = load_cameras(path, {"ENTRANCE_PASSWORD": "x"})
    text = path.read_text()
    for name, _, _ in fields(CameraConfig):
        assert f"{name.split('.')[-1]}:" in text, f"{name} is not in {path.name}"
    defaults = {n: f.default for n, f in CameraConfig.model_fields.items() if not f.is_required()}
    first = config.cameras[0]
    for name in ("transport", "open_timeout", "read_timeout", "reconnect_min", "reconnect_max"):
        assert getattr(first, name) == defaults[name]


def test_every_key_is_documented():
    for name, field in all_fields():
        assert field.title and field.description, f"{name} lacks a title or a description"


def test_the_configuration_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m pipeline.config_docs`"
