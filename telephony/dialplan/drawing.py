"""A graph of a plan as SVG, from left to right in layers, with a layout of its own. Pure.

A box stands one layer behind the last that leads to it (rings of handoffs are cut where they close); within a layer
boxes are ordered by where their neighbours stand (the barycentre method of Sugiyama, Tagawa and Toda, 1981)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from telephony.dialplan.graph import Edge, Graph, Node

CHAR_PX = 7.2  # of 12 px sans-serif, on the broad side
LINE_PX = 16
PAD_PX = 10
GAP_PX = 26
LAYER_GAP_PX = 150
MARGIN_PX = 24
TITLE_PX = 30
MAX_LABEL = 46
SWEEPS = 8

COLOURS = {
    "number": ("#eef3fb", "#3566a8"),
    "agent": ("#e9f6ec", "#2f7d46"),
    "target": ("#fdf3e1", "#a8701d"),
    "end": ("#f1f1f1", "#777777"),
}
ROUND = {"number": 14, "agent": 4, "target": 0, "end": 0}


@dataclass(slots=True)
class _Box:
    node: Node
    layer: int
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


def svg(drawn: Graph) -> str:
    """The whole picture as one document, without any script or font of its own."""
    layers = _layers(drawn)
    boxes = {
        key: _Box(node, layers[key], _width(node), LINE_PX * len(_lines(node)) + 2 * PAD_PX)
        for key, node in drawn.nodes.items()
    }
    columns = _ordered(drawn, boxes)
    width, height = _placed(columns, drawn, boxes)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="sans-serif" font-size="12">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
        f'<text x="{MARGIN_PX}" y="{MARGIN_PX}" font-size="16" font-weight="bold">{escape(drawn.title)}</text>',
    ]
    labels: list[str] = []
    taken: list[tuple[float, float, float]] = []
    for edge in drawn.edges.values():
        line, label = _arrow(edge, boxes, taken)
        parts.append(line)
        labels.append(label)
    parts += [_box(box) for box in boxes.values()]
    return "\n".join([*parts, *filter(None, labels), "</svg>"]) + "\n"


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


def _ordered(drawn: Graph, boxes: dict[str, _Box]) -> list[list[_Box]]:
    """The boxes of each layer from top to bottom."""
    columns: list[list[_Box]] = [[] for _ in range(max(box.layer for box in boxes.values()) + 1)]
    for box in boxes.values():
        columns[box.layer].append(box)
    columns = [column for column in columns if column]
    near: dict[str, list[str]] = {key: [] for key in boxes}
    for edge in drawn.edges.values():
        if edge.source != edge.target:
            near[edge.source].append(edge.target)
            near[edge.target].append(edge.source)
    for sweep in range(SWEEPS):
        height = {
            box.node.key: (at + 0.5) / len(column) for column in columns for at, box in enumerate(column)
        }
        for column in columns[1:] if sweep % 2 == 0 else columns[:-1][::-1]:
            column.sort(
                key=lambda box: _mean([height[key] for key in near[box.node.key]], height[box.node.key])
            )
            height |= {box.node.key: (at + 0.5) / len(column) for at, box in enumerate(column)}
    return columns


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _placed(columns: list[list[_Box]], drawn: Graph, boxes: dict[str, _Box]) -> tuple[float, float]:
    """Give every box its place. Returns width and height of the picture."""
    tall = max(sum(box.height + GAP_PX for box in column) for column in columns)
    x = float(MARGIN_PX)
    for at, column in enumerate(columns):
        wide = max(box.width for box in column)
        y = MARGIN_PX + TITLE_PX + (tall - sum(box.height + GAP_PX for box in column)) / 2
        for box in column:
            box.x, box.y, box.width = x, y, wide
            y += box.height + GAP_PX
        leaving = [edge.label for edge in drawn.edges.values() if boxes[edge.source] in column]
        label_px = max((min(len(label), MAX_LABEL) * CHAR_PX for label in leaving), default=0)
        x += wide + (max(LAYER_GAP_PX, label_px + 60) if at + 1 < len(columns) else 0)
    return x + MARGIN_PX + 30, tall + 2 * MARGIN_PX + TITLE_PX


# ---------------------------------------------------------------- drawing


def _lines(node: Node) -> list[str]:
    return [line for line in node.lines if line]


def _width(node: Node) -> float:
    return max(60.0, *(len(line) * CHAR_PX + 2 * PAD_PX for line in _lines(node)))


def _box(box: _Box) -> str:
    fill, stroke = COLOURS[box.node.kind]
    texts = [
        f'<text x="{box.x + PAD_PX:.0f}" y="{box.y + PAD_PX + LINE_PX * at + 12:.0f}"'
        f"{' font-weight=' + chr(34) + 'bold' + chr(34) if at == 0 else ''}>{escape(line)}</text>"
        for at, line in enumerate(_lines(box.node))
    ]
    round_px = ROUND[box.node.kind]
    dashed = ' stroke-dasharray="4 3"' if box.node.kind == "end" else ""
    return (
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" '
        f'rx="{round_px}" fill="{fill}" stroke="{stroke}"{dashed}/>' + "".join(texts)
    )


def _arrow(edge: Edge, boxes: dict[str, _Box], taken: list[tuple[float, float, float]]) -> tuple[str, str]:
    """A curve and its label. Forward from right to left side; back, or within a layer, around the right side."""
    source, target = boxes[edge.source], boxes[edge.target]
    x1, y1 = source.x + source.width, source.middle
    forward = target.layer > source.layer
    if forward:
        x2, y2 = target.x, target.middle
        bend = (x2 - x1) / 2
        path = f"M{x1:.0f} {y1:.0f} C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
        label_x, label_y = x1 + 14, y1 + (y2 - y1) * 0.1
    else:
        x2, y2 = target.x + target.width, target.middle + 7
        out = max(x1, x2) + 40
        path = f"M{x1:.0f} {y1 + 7:.0f} C{out:.0f} {y1 + 7:.0f} {out:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
        label_x, label_y = out - 8, (y1 + y2) / 2
    style = ' stroke-dasharray="5 4"' if edge.spare else ""
    line = f'<path d="{path}" fill="none" stroke="#555" stroke-width="1.2"{style} marker-end="url(#tip)"/>'
    if not edge.label:
        return line, ""
    text = edge.label if len(edge.label) <= MAX_LABEL else edge.label[: MAX_LABEL - 1] + "…"
    wide = len(text) * CHAR_PX * 0.85
    while any(abs(y - label_y) < 13 and x < label_x + wide and label_x < x + w for x, y, w in taken):
        label_y += 13
    taken.append((label_x, label_y, wide))
    full = f"<title>{escape(edge.label)}</title>" if text != edge.label else ""
    label = (
        f'<text x="{label_x:.0f}" y="{label_y + 3:.0f}" font-size="10.5" fill="#333" stroke="white" '
        f'stroke-width="3" paint-order="stroke">{escape(text)}{full}</text>'
    )
    return line, label
