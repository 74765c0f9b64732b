"""A plan as a picture: every name is in it, every way a call can go is an arrow, nothing stands on anything."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from telephony.dialplan.drawing import svg
from telephony.dialplan.graph import graph, mermaid
from telephony.dialplan.load import load_plan, parse_plan

FOLDER = Path(__file__).parents[3] / "dialplans"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", ["contact-centre", "clinic", "demo"])
def test_every_agent_target_and_number_of_a_shipped_plan_is_drawn_and_no_two_boxes_overlap(name: str) -> None:
    plan = load_plan(FOLDER / f"{name}.yaml")
    picture = ET.fromstring(svg(graph(plan)))
    texts = {text.text or "" for text in picture.iter(f"{SVG}text")}
    for wanted in [*plan.spec.agents, *plan.spec.targets, *(rule.number for rule in plan.spec.numbers[:1])]:
        assert any(wanted in text for text in texts), wanted
    boxes = [
        [float(box.attrib[key]) for key in ("x", "y", "width", "height")]
        for box in list(picture.iter(f"{SVG}rect"))[1:]
    ]
    for at, (x, y, w, h) in enumerate(boxes):
        assert all(
            x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y for x2, y2, w2, h2 in boxes[at + 1 :]
        )
    wide, tall = (float(picture.attrib[key]) for key in ("width", "height"))
    assert all(x >= 0 and x + w <= wide and y >= 0 and y + h <= tall for x, y, w, h in boxes)


def test_the_ways_of_the_contact_centre_are_its_arrows() -> None:
    drawn = graph(load_plan(FOLDER / "contact-centre.yaml"))
    names = {key: node.lines[0].split("  ")[0] for key, node in drawn.nodes.items()}
    arrows = {(names[edge.source], names[edge.target]): edge for edge in drawn.edges.values()}
    assert arrows["+443300000100", "holiday note"].label == "office holiday"
    assert arrows["+443300000100", "refused, 603"].label == "caller nuisance"
    assert arrows["menu", "billing"].label == "key 1"
    assert arrows["trial", "reception"].label == "90%"
    assert arrows["reception", "faults"].label == ""
    assert arrows["+443300000200", "mailbox"].spare
    assert arrows["faults", "+443300000999"].label == "transfer: control room"
    assert arrows["a call that fails", "partner"].label == "overload"


def test_mermaid_text_survives_names_with_quotes_and_brackets() -> None:
    plan = parse_plan(
        b'version: 1\nagents: {"say \\"end\\" [now]": {instructions: x}, end: {instructions: y}}\n'
        b'numbers: [{number: 1XX, agent: end}, {number: any, agent: "say \\"end\\" [now]"}]\n'
    )
    text = mermaid(graph(plan))
    assert '"say #quot;end#quot; [now]<br/>' in text
    assert not re.search(r"(classDef|:::)end\b", text), "`end` is a word of Mermaid's own"
    assert sum("-->" in line for line in text.splitlines()) == 2


def test_a_hundred_thousand_numbers_with_one_rule_are_one_box() -> None:
    rows = "".join(f'  - {{number: "{n}", agent: desk}}\n' for n in range(10_000, 12_000))
    drawn = graph(parse_plan(f"version: 1\nagents: {{desk: {{instructions: x}}}}\nnumbers:\n{rows}".encode()))
    assert len(drawn.nodes) == 2
    assert drawn.nodes["number 0"].lines[-1] == "and 1,996 more"
