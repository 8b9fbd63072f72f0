from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detectors.frozen_network import same_padding
from detectors.tensorflow_graph import fields, read_graph
from reid.errors import ModelError


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def node(name: str, op: str, inputs: tuple[str, ...] = (), **attributes: bytes) -> bytes:
    message = field(1, name.encode()) + field(2, op.encode())
    message += b"".join(field(3, i.encode()) for i in inputs)
    for key, value in attributes.items():
        message += field(5, field(1, key.encode()) + field(2, value))
    return field(1, message)


def constant(name: str, kind: int, shape: tuple[int, ...], payload: bytes) -> bytes:
    sizes = b"".join(field(2, field(1, size)) for size in shape)
    return node(name, "Const", value=field(8, field(1, kind) + field(2, sizes) + payload))


@pytest.fixture
def graph(tmp_path: Path):
    def write(content: bytes) -> Path:
        file = tmp_path / "graph.pb"
        file.write_bytes(content)
        return file

    return write


def test_fields_of_a_known_message() -> None:
    """The example of protocol buffers' own documentation: field 1 is 150; field 2 'testing'."""
    message = memoryview(bytes.fromhex("089601") + bytes.fromhex("120774657374696e67"))
    assert [(n, v if isinstance(v, int) else bytes(v)) for n, v in fields(message)] == [
        (1, 150),
        (2, b"testing"),
    ]


@pytest.mark.parametrize(
    ("kind", "shape", "payload", "expected"),
    [
        (1, (2, 2), field(4, np.arange(4, dtype="<f4").tobytes()), [[0, 1], [2, 3]]),  # bytes
        (1, (), field(5, np.float32(2.5).tobytes()), 2.5),  # packed float
        (1, (3,), field(5, np.float32(2.5).tobytes()), [2.5, 2.5, 2.5]),  # one for all
        (3, (2,), field(7, varint(7) + varint(2**64 - 1)), [7, -1]),  # packed, negative
        (3, (), field(7, 300), 300),  # not packed
        (9, (1,), field(10, varint(2**40)), [2**40]),
    ],
)
def test_tensors(graph, kind: int, shape: tuple[int, ...], payload: bytes, expected) -> None:
    value = read_graph(graph(constant("c", kind, shape, payload)))["c"].tensor()
    assert value.shape == shape
    assert value.tolist() == expected


def test_attributes(graph) -> None:
    content = node(
        "conv",
        "Conv2D",
        ("x", "w"),
        padding=field(2, b"SAME"),
        strides=field(1, field(3, varint(1) + varint(2) + varint(2) + varint(1))),
        epsilon=varint(4 << 3 | 5) + np.float32(0.001).tobytes(),
    )
    read = read_graph(graph(content))["conv"]
    assert (read.op, read.inputs) == ("Conv2D", ("x", "w"))
    assert read.text("padding") == "SAME"
    assert read.integers("strides") == [1, 2, 2, 1]
    assert read.number("epsilon") == pytest.approx(0.001)


@pytest.mark.parametrize(
    "content",
    [
        b"",  # empty
        b"no protocol buffer at all",
        node("a", "Placeholder")[:-3],  # cut short
        b"\xff" * 40,  # a number that never ends
    ],
)
def test_a_damaged_file_is_named(graph, content: bytes) -> None:
    with pytest.raises(ModelError, match=r"graph\.pb"):
        read_graph(graph(content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.pb"):
        read_graph(tmp_path / "absent.pb")


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (300, 3, 1, (1, 1)),
        (300, 3, 2, (0, 1)),
        (19, 3, 2, (1, 1)),
        (10, 1, 1, (0, 0)),
        (2, 3, 2, (0, 1)),
    ],
)
def test_same_padding(size: int, kernel: int, stride: int, expected: tuple[int, int]) -> None:
    """By TensorFlow's documented rule: ceil(size / stride) outputs, the odd pixel at the end."""
    assert same_padding(size, kernel, stride) == expected
