"""Run the feed-forward part of a frozen TensorFlow graph in torch; import it late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from detectors.tensorflow_graph import Node
from reid.errors import ModelError

# operation -> how many of its inputs are data; the others are weights
DATA_INPUTS = {
    "Conv2D": 1,
    "DepthwiseConv2dNative": 1,
    "FusedBatchNorm": 1,
    "BiasAdd": 1,
    "Relu6": 1,
    "Identity": 1,
    "Add": 2,
}


class FrozenNetwork(nn.Module):
    """The part of a graph between a node and some outputs.

    Args:
        nodes: the graph.
        source: the node that is replaced by this module's input.
        outputs: names of the nodes to return.

    Raises:
        ModelError: a node is missing, or is an operation that is not known here.
    """

    def __init__(self, nodes: Mapping[str, Node], source: str, outputs: Sequence[str]) -> None:
        super().__init__()
        self._source, self._outputs = source, list(outputs)
        self._wiring: list[tuple[str, list[str]]] = []
        self.steps = nn.ModuleList()
        for node in ordered(nodes, source, outputs):
            self.steps.append(_module(node, nodes))
            self._wiring.append((node.name, data_inputs(node)))
        self.eval()

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(N, C, H, W) float32 to the outputs, (N, C', H', W') each."""
        values = {self._source: picture}
        for step, (name, inputs) in zip(self.steps, self._wiring, strict=True):
            values[name] = step(*(values[i] for i in inputs))
        return tuple(values[name] for name in self._outputs)


class Convolution(nn.Module):
    """A convolution; TensorFlow's SAME puts the odd pixel of padding at the right and bottom."""

    def __init__(self, node: Node, kernel: NDArray[np.float32], groups: int) -> None:
        super().__init__()
        self._stride, self._groups = node.integers("strides")[1], groups
        self._same = node.text("padding") == "SAME"
        self.kernel = nn.Parameter(torch.tensor(kernel), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        if self._same:
            top, bottom = same_padding(int(x.shape[2]), int(self.kernel.shape[2]), self._stride)
            left, right = same_padding(int(x.shape[3]), int(self.kernel.shape[3]), self._stride)
            x = functional.pad(x, (left, right, top, bottom))
        return functional.conv2d(x, self.kernel, stride=self._stride, groups=self._groups)


class Affine(nn.Module):
    """Per channel: x * scale + shift."""

    def __init__(self, scale: NDArray[np.floating], shift: NDArray[np.floating]) -> None:
        super().__init__()
        self.scale = nn.Parameter(_channels(scale), requires_grad=False)
        self.shift = nn.Parameter(_channels(shift), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the same."""
        return x * self.scale + self.shift


class Sum(nn.Module):
    """Adds two tensors."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Elementwise."""
        return a + b


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels that TensorFlow's SAME adds before and after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def ordered(nodes: Mapping[str, Node], source: str, outputs: Sequence[str]) -> list[Node]:
    """The nodes that compute (not the weights), each after its inputs."""
    order: list[Node] = []
    done = {source}
    stack = [(name, False) for name in reversed(outputs)]
    while stack:
        name, ready = stack.pop()
        if name in done:
            continue
        if name not in nodes:
            raise ModelError(f"the graph has no node {name}")
        if ready:
            done.add(name)
            order.append(nodes[name])
            continue
        stack.append((name, True))
        stack += [(i, False) for i in reversed(data_inputs(nodes[name]))]
    return order


def data_inputs(node: Node) -> list[str]:
    """The inputs of a node that are data, not weights."""
    if node.op not in DATA_INPUTS:
        raise ModelError(f"graph node {node.name} is a {node.op}, which is not known here")
    return list(node.inputs[: DATA_INPUTS[node.op]])


def _module(node: Node, nodes: Mapping[str, Node]) -> nn.Module:
    """One operation with its weights, laid out as torch wants them."""
    weights = [_constant(name, nodes) for name in node.inputs[DATA_INPUTS[node.op] :]]
    if node.op == "Conv2D":
        return Convolution(node, weights[0].transpose(3, 2, 0, 1), groups=1)
    if node.op == "DepthwiseConv2dNative":  # (height, width, channels, multiplier)
        height, width, channels, multiplier = weights[0].shape
        kernel = weights[0].transpose(2, 3, 0, 1)
        kernel = kernel.reshape(channels * multiplier, 1, height, width)
        return Convolution(node, kernel, groups=channels)
    if node.op == "FusedBatchNorm":  # in inference, a scale and a shift
        gamma, beta, mean, variance = (w.astype(np.float64) for w in weights)
        scale = gamma / np.sqrt(variance + node.number("epsilon"))
        return Affine(scale, beta - mean * scale)
    if node.op == "BiasAdd":
        return Affine(np.ones_like(weights[0]), weights[0])
    simple: dict[str, nn.Module] = {"Relu6": nn.ReLU6(), "Add": Sum(), "Identity": nn.Identity()}
    return simple[node.op]


def _constant(name: str, nodes: Mapping[str, Node]) -> NDArray[np.float32]:
    """A weight: a `Const`, perhaps behind `Identity` nodes."""
    while name in nodes and nodes[name].op == "Identity":
        name = nodes[name].inputs[0]
    if name not in nodes or nodes[name].op != "Const":
        raise ModelError(f"graph node {name} should be a constant")
    return np.asarray(nodes[name].tensor(), np.float32)


def _channels(values: NDArray[np.floating]) -> torch.Tensor:
    """(C,) to (C, 1, 1) float32."""
    return torch.tensor(values, dtype=torch.float32)[:, None, None]
