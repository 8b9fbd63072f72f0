"""Read a frozen TensorFlow graph without TensorFlow.

A frozen graph is one protocol-buffer message, `GraphDef`. Of that format only what a
feed-forward network needs is read: nodes, their inputs, attributes, and tensors of numbers.
(`protobuf` would need the message definitions, which only ship inside TensorFlow.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.errors import ModelError

Value = int | memoryview

# wire types of protocol buffers
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
# field numbers of tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape}.proto
GRAPH_NODE = 1
NODE_NAME, NODE_OP, NODE_INPUT, NODE_ATTR = 1, 2, 3, 5
MAP_KEY, MAP_VALUE = 1, 2
ATTR_LIST, ATTR_BYTES, ATTR_FLOAT, ATTR_TENSOR = 1, 2, 4, 8
LIST_INTEGERS = 3
TENSOR_TYPE, TENSOR_SHAPE, TENSOR_CONTENT = 1, 2, 4
SHAPE_DIM, DIM_SIZE = 2, 1
TYPES: dict[int, tuple[type[np.generic], int]] = {  # DataType -> numpy type, its values' field
    1: (np.float32, 5),
    3: (np.int32, 7),
    9: (np.int64, 10),
}


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Walk through a message: (field number, integer or bytes).

    Raises:
        ValueError: the message is cut short or no protocol buffer.
    """
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            integer, position = _varint(message, position)
            yield number, integer
            continue
        if wire == BYTES:
            size, position = _varint(message, position)
        elif wire in (EIGHT_BYTES, FOUR_BYTES):
            size = 8 if wire == EIGHT_BYTES else 4
        else:
            raise ValueError(f"wire type {wire} at byte {position}")
        if position + size > len(message):
            raise ValueError(f"cut short at byte {position}")
        yield number, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """An integer in 7-bit groups, least significant first; returns it and the next position."""
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError(f"bad integer at byte {position}")
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if byte < 0x80:
            return value, position


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operation of the graph: its name, kind, inputs' names and raw attributes."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, memoryview]

    def text(self, key: str) -> str:
        """A text attribute such as `padding`."""
        return bytes(_get(self.attributes[key], ATTR_BYTES)).decode()

    def number(self, key: str) -> float:
        """A float attribute such as `epsilon`."""
        return float(np.frombuffer(_get(self.attributes[key], ATTR_FLOAT), "<f4")[0])

    def integers(self, key: str) -> list[int]:
        """A list of integers such as `strides`, packed or not."""
        found: list[int] = []
        for number, value in fields(_get(self.attributes[key], ATTR_LIST)):
            if number == LIST_INTEGERS:
                found += [value] if isinstance(value, int) else _packed(value)
        return found

    def tensor(self) -> NDArray[Any]:
        """The value of a `Const` of float32, int32 or int64."""
        return _tensor(self.name, _get(self.attributes["value"], ATTR_TENSOR))


def read_graph(file: Path) -> dict[str, Node]:
    """Read the nodes of a frozen graph, by name.

    Raises:
        ModelError: the file is missing or no frozen graph.
    """
    try:
        message = memoryview(file.read_bytes())
        nodes = [_node(v) for n, v in fields(message) if n == GRAPH_NODE and not isinstance(v, int)]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{file} cannot be read as a frozen TensorFlow graph: {error}") from error
    if not nodes:
        raise ModelError(f"{file} is no frozen TensorFlow graph: it has no nodes")
    return {node.name: node for node in nodes}


def _node(message: memoryview) -> Node:
    name = op = ""
    inputs: list[str] = []
    attributes: dict[str, memoryview] = {}
    for number, value in fields(message):
        if isinstance(value, int):
            continue
        if number == NODE_NAME:
            name = bytes(value).decode()
        elif number == NODE_OP:
            op = bytes(value).decode()
        elif number == NODE_INPUT:
            inputs.append(bytes(value).decode())
        elif number == NODE_ATTR:
            attributes[bytes(_get(value, MAP_KEY)).decode()] = _get(value, MAP_VALUE)
    return Node(name, op, tuple(inputs), attributes)


def _get(message: memoryview, number: int) -> memoryview:
    """The bytes of one field; KeyError if it is not there."""
    for found, value in fields(message):
        if found == number and not isinstance(value, int):
            return value
    raise KeyError(f"field {number} is missing")


def _packed(value: memoryview) -> list[int]:
    position, found = 0, []
    while position < len(value):
        integer, position = _varint(value, position)
        found.append(integer)
    return found


def _tensor(name: str, message: memoryview) -> NDArray[Any]:
    """Decode a TensorProto; a single value stands for all elements, as in TensorFlow."""
    kind, shape, content = 0, list[int](), None
    entries = list(fields(message))
    for number, value in entries:
        if number == TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number == TENSOR_SHAPE and not isinstance(value, int):
            shape = _shape(value)
        elif number == TENSOR_CONTENT and not isinstance(value, int):
            content = value
    if kind not in TYPES:
        raise ModelError(f"graph node {name} holds a tensor of type {kind}, which is not read")
    dtype, field = TYPES[kind]
    if content is not None and len(content):
        return np.frombuffer(content, np.dtype(dtype).newbyteorder("<")).reshape(shape)
    values: list[float] = []
    for number, value in entries:
        if number == field:
            values += _numbers(value, dtype)
    if not values:
        return np.zeros(shape, dtype)
    if len(values) == 1:
        return np.full(shape, values[0], dtype)
    return np.array(values, dtype).reshape(shape)


def _shape(message: memoryview) -> list[int]:
    """Decode a TensorShapeProto."""
    sizes: list[int] = []
    for number, dimension in fields(message):
        if number == SHAPE_DIM and not isinstance(dimension, int):
            size = dict(fields(dimension)).get(DIM_SIZE, 0)
            sizes.append(size if isinstance(size, int) else 0)
    return sizes


def _numbers(value: Value, dtype: type[np.generic]) -> list[float]:
    """Values of a repeated field, packed or not."""
    if isinstance(value, int):
        return [value]
    if dtype is np.float32:
        return [float(v) for v in np.frombuffer(value, "<f4")]
    return [v - 2**64 if v >= 2**63 else v for v in _packed(value)]
