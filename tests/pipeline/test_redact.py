from pathlib import Path

import pytest

from pipeline.redact import SourceUrl, fill_variables, redact, redact_text


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        # the plain case
        ("rtsp://admin:hunter2@10.0.0.1:554/s", "rtsp://admin:***@10.0.0.1:554/s"),
        # percent-encoded
        ("rtsp://admin:p%40ss%2Fw@cam/s", "rtsp://admin:***@cam/s"),
        # not encoded although it must be: still hidden
        ("rtsp://admin:p@ss@cam/s", "rtsp://admin:***@cam/s"),
        ("rtsp://admin:pa/ss@cam/s", "rtsp://admin:***@cam/s"),
        ("rtsp://admin:pa#s?s@cam/s", "rtsp://admin:***@cam/s"),
        ("rtsp://admin:a:b:c@cam/s", "rtsp://admin:***@cam/s"),
        # an empty user name
        ("rtsp://:hunter2@cam/s", "rtsp://:***@cam/s"),
        # IPv6
        ("rtsp://u:hunter2@[::1]:554/s", "rtsp://u:***@[::1]:554/s"),
        # mistyped, so that it counts as a file's path
        ("rtsp:/admin:hunter2@cam/s", "rtsp:***@cam/s"),
        ("rtsp//admin:hunter2@cam/s", "rtsp//admin:***@cam/s"),
        ("admin:hunter2@cam/s", "admin:***@cam/s"),
        # in the query
        ("http://cam/v.cgi?user=a&pwd=hunter2&n=1", "http://cam/v.cgi?user=a&pwd=***&n=1"),
        ("http://cam/v?access_token=hunter2", "http://cam/v?access_token=***"),
        # nothing to hide
        ("rtsp://cam:554/s", "rtsp://cam:554/s"),
        ("rtsp://cam/a@b", "rtsp://cam/a@b"),
        ("videos/a.mp4", "videos/a.mp4"),
    ],
)
def test_redact(address, shown):
    assert redact(address) == shown


def test_text_that_echoes_the_address_or_the_bare_password():
    address = "rtsp://admin:p%40ssw0rd@cam/s"
    text = f"[Errno 111] refused: '{address}' and p@ssw0rd and p%40ssw0rd; http://x:other1@y/"
    clean = redact_text(text, address)
    for secret in ("p@ssw0rd", "p%40ssw0rd", "other1"):
        assert secret not in clean
    assert "Errno 111" in clean


def test_an_address_never_prints_its_password():
    url = SourceUrl("rtsp://admin:hunter2@cam/s")
    for text in (str(url), repr(url), f"{url}", "%s" % url, repr([url]), repr({"a": url})):  # noqa: UP031
        assert "hunter2" not in text
    assert url.secret() == "rtsp://admin:hunter2@cam/s"


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("plain", "plain"),
        ("p@ss/w?o#r:d", "p%40ss%2Fw%3Fo%23r%3Ad"),  # would break the address
        ("100%", "100%25"),  # a lone % is meant
        ("p%40ss", "p%40ss"),  # encoded already
    ],
)
def test_a_password_from_the_environment_is_encoded_where_it_must_be(password, expected):
    filled = fill_variables("rtsp://u:${PW}@cam/${PW}", {"PW": password}, is_url=True)
    assert filled == f"rtsp://u:{expected}@cam/{password}"


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("rtsp://cam/s", "rtsp"),
        ("RTSPS://cam/s", "rtsp"),
        ("https://cam/s", "http"),
        ("a.mp4", "file"),
        ("file:///tmp/a%20b.mp4", "file"),
        ("/dev/video0", "device"),
        ("device:0", "device"),
    ],
)
def test_kinds(address, kind):
    assert SourceUrl(address).kind == kind


def test_files_are_relative_to_the_folder():
    assert SourceUrl("a/b.mp4", folder=Path("/x")).secret() == "/x/a/b.mp4"
    assert SourceUrl("/a/b.mp4", folder=Path("/x")).secret() == "/a/b.mp4"
    assert SourceUrl("file:///tmp/a%20b.mp4").secret() == "/tmp/a b.mp4"


@pytest.mark.parametrize("address", ["", "  ", "ftp://h/x", "rtsp:///x", "rtsp://", "a\nb", "a\0b"])
def test_addresses_that_are_refused(address):
    with pytest.raises(ValueError):
        SourceUrl(address)
