"""Servers that notifications are sent to: a web server and an MQTT broker, both real and local."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hook:
    """A webhook. `answers` are its next status codes, then 200; `got` is what it accepted."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.asked = 0
        self.got: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.url = ""


@contextmanager
def webhook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.asked += 1
            status = hook.answers.pop(0) if hook.answers else 200
            if status == 200:
                hook.got.append(json.loads(body))
                hook.paths.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def mqtt_broker(passwords: str | None = None) -> Iterator[int]:
    """An amqtt broker; yields its port.

    Args:
        passwords: a password file; without one everybody may come.
    """
    from amqtt.broker import Broker

    port = _free_port()
    plugins: dict[str, Any] = {
        "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": passwords is None}
    }
    if passwords is not None:
        name = "amqtt.plugins.authentication.FileAuthPlugin"
        plugins[name] = {"password_file": passwords}
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": plugins,
    }
    started, over = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    async def run() -> None:
        broker = Broker(config)
        await broker.start()
        started.set()
        while not over.is_set():
            await asyncio.sleep(0.02)
        await broker.shutdown()

    def main() -> None:
        try:
            asyncio.run(run())
        except Exception as error:  # noqa: BLE001 - told to the test
            failed.append(error)
            started.set()

    thread = threading.Thread(target=main, daemon=True)
    thread.start()
    try:
        assert started.wait(20)
        assert not failed, failed
        yield port
    finally:
        over.set()
        thread.join(20)


@contextmanager
def listener(port: int, topic: str) -> Iterator[list[tuple[str, dict[str, Any], int]]]:
    """A second MQTT client that listens: (topic, payload, QoS) of each message."""
    import paho.mqtt.client as mqtt

    got: list[tuple[str, dict[str, Any], int]] = []
    ready = threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_connect = lambda c, *_: c.subscribe(topic, qos=1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _c, _d, m: got.append((m.topic, json.loads(m.payload), m.qos))
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert ready.wait(20)
        yield got
    finally:
        client.disconnect()
        client.loop_stop()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
