"""A graph of a plan as SVG, from left to right in layers, with a layout of its own. Pure.

A box stands one layer behind the last that leads to it (rings of handoffs are cut where they close); within a layer
boxes are ordered by where their neighbours stand (the barycentre method of Sugiyama, Tagawa and Toda, 1981)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from telephony.dialplan.graph import Edge, Graph, Node

CHAR_PX = 7.2  # of 12 px sans-serif, on the broad side
BOLD_PX = 8.3
LABEL_PX = 6.0  # of 10.5 px
PORT_PX = 17  # between two arrows that leave a box
BOLD = ' font-weight="bold"'
LINE_PX = 16
PAD_PX = 10
GAP_PX = 18
LAYER_GAP_PX = 110
MARGIN_PX = 24
TITLE_PX = 30
MAX_LABEL = 40
SWEEPS = 8

COLOURS = {
    "number": ("#eef3fb", "#3566a8"),
    "agent": ("#e9f6ec", "#2f7d46"),
    "target": ("#fdf3e1", "#a8701d"),
    "end": ("#f1f1f1", "#777777"),
}
ROUND = {"number": 14, "agent": 4, "target": 0, "end": 0}


@dataclass(slots=True, eq=False)
class _Box:
    """A box with its place; without a node it is where a long arrow passes a layer."""

    node: Node | None
    layer: int
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    @property
    def right(self) -> float:
        return self.x + self.width


@dataclass(slots=True, eq=False)
class _Route:
    """One arrow and what it passes: source, passages, target."""

    edge: Edge
    stops: list[_Box]


def svg(drawn: Graph) -> str:
    """The whole picture as one document, without any script or font of its own."""
    layers = _layers(drawn)
    boxes = {key: _box_of(node, layers[key], drawn) for key, node in drawn.nodes.items()}
    routes = [_route(edge, boxes) for edge in drawn.edges.values()]
    columns = _ordered(boxes, routes)
    width, height = _placed(columns, routes)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="sans-serif" font-size="12">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
        f'<text x="{MARGIN_PX}" y="{MARGIN_PX}" font-size="16" font-weight="bold">{escape(drawn.title)}</text>',
    ]
    labels: list[str] = []
    for box in boxes.values():
        leaving = [route for route in routes if route.stops[0] is box]
        leaving.sort(key=lambda route: (route.stops[1].middle, route.stops[-1].middle))
        for at, route in enumerate(leaving):
            port = box.y + box.height * (at + 0.5) / len(leaving)
            line, label = _arrow(route, port)
            parts.append(line)
            labels.append(label)
    parts += [_drawn_box(box) for box in boxes.values()]
    return "\n".join([*parts, *filter(None, labels), "</svg>"]) + "\n"


def _box_of(node: Node, layer: int, drawn: Graph) -> _Box:
    lines = [line for line in node.lines if line]
    width = max(
        60.0, *(len(line) * (CHAR_PX if at else BOLD_PX) + 2 * PAD_PX for at, line in enumerate(lines))
    )
    leaving = sum(edge.source == node.key for edge in drawn.edges.values())
    return _Box(node, layer, width, max(LINE_PX * len(lines) + 2 * PAD_PX, PORT_PX * leaving))


def _route(edge: Edge, boxes: dict[str, _Box]) -> _Route:
    source, target = boxes[edge.source], boxes[edge.target]
    passed = [_Box(None, layer, 0.0, 2.0) for layer in range(source.layer + 1, target.layer)]
    return _Route(edge, [source, *passed, target])


# ---------------------------------------------------------------- layout


def _layers(drawn: Graph) -> dict[str, int]:
    """Each box one layer behind the last that leads to it. An arrow that closes a ring does not count."""
    after: dict[str, list[str]] = {key: [] for key in drawn.nodes}
    for edge in drawn.edges.values():
        after[edge.source].append(edge.target)
    order: list[str] = []
    state: dict[str, int] = {}
    back: set[tuple[str, str]] = set()
    for root in drawn.nodes:
        stack = [(root, iter(after[root]))] if root not in state else []
        state.setdefault(root, 1)
        while stack:
            key, following = stack[-1]
            for target in following:
                if state.get(target) == 1:
                    back.add((key, target))
                elif target not in state:
                    state[target] = 1
                    stack.append((target, iter(after[target])))
                    break
            else:
                state[key] = 2
                order.append(key)
                stack.pop()
    layers = {key: 0 if node.kind == "number" else 1 for key, node in drawn.nodes.items()}
    for key in reversed(order):
        for target in after[key]:
            if (key, target) not in back and target != key:
                layers[target] = max(layers[target], layers[key] + 1)
    return layers


def _ordered(boxes: dict[str, _Box], routes: Sequence[_Route]) -> list[list[_Box]]:
    """The boxes and passages of each layer from top to bottom."""
    everything = [*boxes.values(), *(stop for route in routes for stop in route.stops[1:-1])]
    columns: list[list[_Box]] = [[] for _ in range(max(box.layer for box in everything) + 1)]
    for box in everything:
        columns[box.layer].append(box)
    near: dict[_Box, list[_Box]] = {box: [] for box in everything}
    for route in routes:
        for one, two in pairwise(route.stops):
            if one is not two:
                near[one].append(two)
                near[two].append(one)
    height = {box: (at + 0.5) / len(column) for column in columns for at, box in enumerate(column)}
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for column in columns[1:] if forward else columns[-2::-1]:
            step = -1 if forward else 1
            wish = {
                box: _mean(
                    [height[other] for other in near[box] if other.layer == box.layer + step], height[box]
                )
                for box in column
            }
            column.sort(key=wish.__getitem__)
            height |= {box: (at + 0.5) / len(column) for at, box in enumerate(column)}
    return [column for column in columns if column]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _placed(columns: list[list[_Box]], routes: Sequence[_Route]) -> tuple[float, float]:
    """Give every box its place. Returns width and height of the picture."""
    tall = max(sum(box.height + GAP_PX for box in column) for column in columns)
    x = float(MARGIN_PX)
    for at, column in enumerate(columns):
        wide = max(box.width for box in column)
        y = MARGIN_PX + TITLE_PX + (tall - sum(box.height + GAP_PX for box in column)) / 2
        for box in column:
            box.x, box.y, box.width = x, y, wide
            y += box.height + GAP_PX
        leaving = [route.edge.label for route in routes if route.stops[0] in column]
        label_px = max((min(len(label), MAX_LABEL) * LABEL_PX for label in leaving), default=0.0)
        last = at + 1 == len(columns)
        x += wide + label_px + (2 * MARGIN_PX if last else LAYER_GAP_PX)
    return x, tall + 2 * MARGIN_PX + TITLE_PX


# ---------------------------------------------------------------- drawing


def _drawn_box(box: _Box) -> str:
    node = box.node
    assert node is not None
    fill, stroke = COLOURS[node.kind]
    lines = [line for line in node.lines if line]
    top = box.middle - LINE_PX * len(lines) / 2 + 12
    texts = [
        f'<text x="{box.x + PAD_PX:.0f}" y="{top + LINE_PX * at:.0f}"'
        f"{BOLD if at == 0 else ''}>{escape(line)}</text>"
        for at, line in enumerate(lines)
    ]
    dashed = ' stroke-dasharray="4 3"' if node.kind == "end" else ""
    return (
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" '
        f'rx="{ROUND[node.kind]}" fill="{fill}" stroke="{stroke}"{dashed}/>' + "".join(texts)
    )


def _arrow(route: _Route, port: float) -> tuple[str, str]:
    """A line and its label, which stands where the line leaves. Back, or within a layer, it goes around the right."""
    edge, source, target = route.edge, route.stops[0], route.stops[-1]
    start, label_px = source.right, min(len(edge.label), MAX_LABEL) * LABEL_PX
    x = start + (label_px + 12 if edge.label else 0)
    if target.layer > source.layer:
        path, y = f"M{start:.0f} {port:.1f} H{x:.0f}", port
        for stop in route.stops[1:]:
            path += _curve(x, y, stop.x, stop.middle)
            if stop.node is None:
                path += f" H{stop.right:.0f}"
            x, y = stop.right, stop.middle
    else:
        out = max(x, target.right) + 36
        end = target.middle + min(8.0, target.height / 4)
        back = f"C{out:.0f} {port:.1f} {out:.0f} {end:.1f} {target.right:.0f} {end:.1f}"
        path = f"M{start:.0f} {port:.1f} H{x:.0f} {back}"
    style = ' stroke-dasharray="5 4"' if edge.spare else ""
    line = f'<path d="{path}" fill="none" stroke="#555" stroke-width="1.2"{style} marker-end="url(#tip)"/>'
    if not edge.label:
        return line, ""
    text = edge.label if len(edge.label) <= MAX_LABEL else edge.label[: MAX_LABEL - 1] + "…"
    full = f"<title>{escape(edge.label)}</title>" if text != edge.label else ""
    label = (
        f'<text x="{start + 6:.0f}" y="{port + 3.5:.1f}" font-size="10.5" fill="#333" stroke="white" '
        f'stroke-width="4" paint-order="stroke">{escape(text)}{full}</text>'
    )
    return line, label


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    bend = (x2 - x1) / 2
    return f" C{x1 + bend:.0f} {y1:.1f} {x2 - bend:.0f} {y2:.1f} {x2:.0f} {y2:.1f}"
