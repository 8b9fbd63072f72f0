"""`crosscam serve`: the command line around `web.app`. Light to import."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from storage.arguments import add_media, add_store

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI

    from web.desk import Desk
    from web.settings import WebSettings

# A store URL may hold a password, which a command line would show to every user of the machine.
ZONE_VARIABLE = "CROSSCAM_TIME_ZONE"
FIRST_USER = "admin"

EPILOG = """examples:
  crosscam serve --store sqlite:///crosscam.db
      this machine alone, http://127.0.0.1:8800; the first start prints a link that makes you
      administrator
  crosscam serve --store sqlite:///crosscam.db --base-url https://cameras.example
      behind a proxy on this machine that speaks https (nginx, Caddy) and keeps the Host header
  crosscam serve --host 0.0.0.0 --allowed-host desk.local
      the whole network may reach it, unencrypted: only where you trust that network

The store's URL may come from the environment variable CROSSCAM_STORE. Ctrl-C ends it.
"""


def add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `serve` to the front door's parser."""
    parser = commands.add_parser(
        "serve",
        help="serve the pages: live wall, search, evidence, replay, cases",
        description="Serve the pages and the API over one store.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_store(parser)
    add_media(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, default=8800, metavar="N", help="default: %(default)s; 0: any free one"
    )
    parser.add_argument(
        "--base-url", metavar="URL", help="what people type, where a proxy stands in front"
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name by which browsers may call this server (again for each)",
    )
    parser.add_argument(
        "--time-zone",
        default=os.environ.get(ZONE_VARIABLE, "UTC"),
        metavar="NAME",
        help=f"of the times on the pages, such as Europe/Berlin (default: ${ZONE_VARIABLE}, else "
        "UTC)",
    )
    parser.add_argument(
        "--weights", default="default", help="model of the searches: default, or a file"
    )
    parser.add_argument(
        "--detector", default="auto", metavar="NAME",
        help="what finds people in photos; as detector.name in pipeline.yaml (default: auto)",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--no-watch", action="store_true",
        help="do not look at what is new for the watch list (`crosscam watch run` can, elsewhere)",
    )  # fmt: skip
    # For `crosscam run --serve`: the pages end when the run's end of this pipe closes.
    parser.add_argument("--until-stdin-closes", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(function=serve)


def serve(options: argparse.Namespace) -> int:
    """`crosscam serve`."""
    import sys

    from pydantic import ValidationError
    from rich.console import Console

    from reid.errors import ConfigError
    from web.settings import WebSettings

    try:
        settings = WebSettings(
            host=options.host,
            port=options.port,
            base_url=options.base_url,
            allowed_hosts=tuple(options.allowed_host),
            time_zone=options.time_zone,
            weights=options.weights,
            detector=options.detector,
            device=options.device,
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = "--" + str(first["loc"][0]).replace("_", "-")
        raise ConfigError(f"{name} is {first['input']!r}: {first['msg']}") from None

    from storage.engine import parse_url, sqlite_path
    from storage.store import Store

    console = Console(highlight=False, soft_wrap=True)
    listening = listen(settings)
    try:
        # The store first: a wrong path should be told before the models' libraries are loaded.
        path = sqlite_path(parse_url(options.store))
        new = path is not None and not path.exists()
        Store.open(options.store, options.media).close()
        if new:
            console.print("[bold red]warning:[/] there was no such store: made an empty one")

        from web.app import create_app

        app = create_app(settings, options.store, options.media)
        address = base_url(settings, listening)
        if not is_loopback(settings.host) and not settings.secure:
            console.print(
                f"[bold red]warning:[/] listening on {settings.host} without encryption: whoever "
                "is on the way reads pictures and passwords. Put a proxy with https in front and "
                "say --base-url https://NAME."
            )
        listening.listen(128)
        link = first_administrator(app.state.desk, settings)
        if link is not None:
            console.print(
                f"There was no user yet; {FIRST_USER!r} is the administrator. Set the password "
                f"here (works once, within {settings.link_hours:g} hours):\n{address}/link/{link}"
            )
        console.print(f"crosscam serves {app.state.desk.store.url} on {address} (Ctrl-C ends)")
        sys.stdout.flush()
        with watching(app, options, address):
            _run(app, settings, listening, options.until_stdin_closes)
    finally:
        listening.close()
    console.print("crosscam: no longer serving")
    return 0


@contextlib.contextmanager
def watching(app: FastAPI, options: argparse.Namespace, address: str) -> Iterator[None]:
    """The watch list at work while we serve, unless it is not wanted."""
    if options.no_watch:
        yield
        return
    from investigation.watching.thread import WatchThread

    watching = WatchThread(options.store, options.media, weights=options.weights, base_url=address)
    watching.start()
    app.state.watching = watching
    try:
        yield
    finally:
        watching.stop(5.0)


def listen(settings: WebSettings) -> socket.socket:
    """Take the port before anything slow happens.

    Raises:
        ConfigError: if it cannot be had.
    """
    import socket

    from reid.errors import ConfigError

    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":  # elsewhere it would let two servers share a port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)  # it listens once there is something to answer with
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"--host {settings.host} --port {settings.port}: {error.strerror or error}"
        ) from error
    return listening


def base_url(settings: WebSettings, listening: socket.socket) -> str:
    """What a person on this machine types."""
    if settings.base_url:
        return settings.base_url.rstrip("/")
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"


def is_loopback(host: str) -> bool:
    """True if only this machine can reach it."""
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def first_administrator(desk: Desk, settings: WebSettings) -> str | None:
    """Make the first user where there is none; returns the secret of the one-time link."""
    from storage.accounts.accounts import By, Role, users

    if users(desk.reader):
        return None
    by = By("crosscam")
    made = desk.accounts.add_user(
        FIRST_USER, Role.ADMINISTRATOR, by, all_cameras=True, reason="the first start"
    )
    return desk.links.issue(made.id, by, settings.link_hours)


def _run(
    app: FastAPI, settings: WebSettings, listening: socket.socket, until_stdin_closes: bool
) -> None:
    """Serve until Ctrl-C, a termination signal or the end of standard input."""
    import signal
    import sys
    import threading
    from types import FrameType

    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # addresses of one-time links hold their secret
            server_header=False,
            # X-Forwarded-For is anybody's word, unless a proxy of ours stands in front.
            proxy_headers=settings.base_url is not None,
            forwarded_allow_ips="127.0.0.1,::1",
            timeout_graceful_shutdown=5,
        )
    )

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # Uvicorn ends in good order, then raises the signal again: into this, not into our death.
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)

    def watch() -> None:
        while sys.stdin.buffer.read(1024):
            pass
        server.should_exit = True

    if until_stdin_closes:
        threading.Thread(target=watch, name="stdin", daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
