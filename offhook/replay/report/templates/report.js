"use strict";
/* Draws a call when it is opened. Whatever was said becomes text nodes only: nothing here parses HTML. */

const PARTS = ["waited", "stt", "llm", "tool", "tts", "own"];
const PART_NAMES = { waited: "waiting for the end of the turn", stt: "recogniser", llm: "language model", tool: "tools", tts: "voice", own: "ours" };
const LANE = { tool: 22, caller: 48, agent: 118, height: 62, ghost: 188, all: 212 };
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

/* ---------------------------------------------------------------- making elements */

function put(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}
const el = (name, attributes, ...children) => put(document.createElement(name), attributes, children);
const shape = (name, attributes, ...children) => put(document.createElementNS(SVG, name), attributes, children);
const hint = (text) => shape("title", {}, text);
const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
const clock1 = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;

/* ---------------------------------------------------------------- the list */

const rows = [...document.querySelectorAll("#list tbody tr")];
let only = null; // the calls of a bar that was clicked
let onlyLabel = "";

function listed() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const status = $("filter").value;
  let count = 0;
  for (const row of rows) {
    const text = words.length ? `${row.textContent.toLowerCase()} ${row.dataset.said}` : "";
    const fits = (!status || row.dataset.status === status) && (!only || only.has(row.dataset.place)) && words.every((word) => text.includes(word));
    row.hidden = !fits;
    row.style.display = fits ? "" : "none";
    count += fits;
  }
  const which = only ? `, ${onlyLabel}` : "";
  $("shown").textContent = count === rows.length ? `${count} calls` : `${count} of ${rows.length} calls${which}`;
  $("clear").hidden = count === rows.length && !only;
}

function sortBy(head) {
  const at = [...head.parentNode.children].indexOf(head);
  const first = head.dataset.sort === "number" ? "descending" : "ascending"; // of numbers the biggest are what is looked for
  const was = head.getAttribute("aria-sort");
  const down = was ? was === "ascending" : first === "descending";
  for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => (head.dataset.sort === "text" ? row.children[at].textContent.trim() : Number(row.children[at].dataset.value));
  rows.sort((a, b) => {
    const one = value(a), other = value(b);
    if (head.dataset.sort === "number" && (one < 0) !== (other < 0)) return one < 0 ? 1 : -1; // unknown: last, either way
    const order = typeof one === "string" ? one.localeCompare(other) : one - other;
    return (down ? -order : order) || a.dataset.place - b.dataset.place;
  });
  document.querySelector("#list tbody").append(...rows);
  const name = head.textContent.trim();
  $("calls").textContent = `Calls, ${head.dataset.sort === "order" ? (down ? "best first" : "worst first") : `by ${name}`}`;
}

/* ---------------------------------------------------------------- one call */

const load = (place) => { const holder = $(`call-${place}`); return holder && JSON.parse(holder.textContent); };
let open = null; // what is shown: { place, call, audio, seek, stop }

function sound(place) {
  const holder = $(`sound-${place}`);
  if (!holder) return null;
  const bytes = Uint8Array.from(atob(holder.textContent), (char) => char.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "audio/ogg; codecs=opus" }));
}

function found(call) {
  const items = [];
  for (const one of call.findings || []) {
    items.push([one.severity ? "bad" : "told", one.text, one.at_s]);
  }
  for (const one of call.verdicts || []) {
    const kind = { passed: "good", failed: "bad", unsure: "unsure" }[one.outcome];
    const label = one.label ? ` (a person says: ${one.label})` : "";
    items.push([kind, `${one.name}: ${one.text}${label}`, one.at_s]);
  }
  for (const text of [...(call.failures || []).map((text) => `provider failed: ${text}`), ...(call.damage || [])]) items.push(["unsure", text, null]);
  if (call.error) items.push(["bad", call.error, null]);
  const order = { bad: 0, unsure: 1, told: 2, good: 3 };
  items.sort((a, b) => order[a[0]] - order[b[0]]);
  return items;
}

function foundList(call, seek) {
  const items = found(call);
  if (!items.length) return null;
  const list = (some) => el("ul", { class: "found" }, ...some.map(([kind, text, at]) =>
    el("li", { class: kind }, text, " ", at === null || at === undefined || !seek ? null : el("button", { type: "button", onclick: () => seek(at) }, clock1(at)))));
  const met = items.filter(([kind]) => kind === "good");
  const rest = items.filter(([kind]) => kind !== "good");
  const told = met.length ? el("details", { class: "met", open: seek ? null : "" }, el("summary", {}, `✓ ${met.length} of ${(call.verdicts || []).length} expectations met`), list(met)) : null;
  return el("div", {}, rest.length ? list(rest) : null, told);
}

/* ---------------------------------------------------------------- timeline */

function wave(text, step, scale, top, name) {
  const bytes = atob(text);
  const middle = top + LANE.height / 2;
  let up = "", down = "";
  for (let at = 0; at < bytes.length; at++) {
    const half = Math.max(0.4, (bytes.charCodeAt(at) / 255) * (LANE.height / 2 - 2));
    const x = (at * step * scale).toFixed(1);
    up += `${at ? "L" : "M"}${x} ${(middle - half).toFixed(1)}`;
    down = `L${x} ${(middle + half).toFixed(1)}${down}`;
  }
  return shape("path", { class: `wave-${name}`, d: `${up}${down}Z` });
}

function ticks(length, scale) {
  const step = [0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800].find((s) => s * scale >= 55) || 3600;
  const drawn = [];
  for (let s = 0; s <= length; s += step) {
    drawn.push(shape("line", { class: "tick", x1: s * scale, x2: s * scale, y1: 16, y2: LANE.all - 2 }));
    drawn.push(shape("text", { x: s * scale + 3, y: 12 }, step < 1 ? clock1(s) : clock(s)));
  }
  return drawn;
}

let timelines = 0;

function timeline(call, width) {
  const hatch = `hatch-${timelines++}`; // its own: a pattern that is not shown itself fills nothing in print
  const length = Math.max(call.length_s, (call.ghost || {}).length_s || 0, 1);
  const scale = width / length;
  const box = (from, to, y, height, name, title) =>
    shape("rect", { class: name, x: from * scale, y, width: Math.max(1, (to - from) * scale), height, rx: 2 }, title ? hint(title) : null);
  const both = [LANE.caller, LANE.agent + LANE.height - LANE.caller];
  const drawn = [
    shape("defs", {}, shape("pattern", { id: hatch, class: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse" }, shape("path", { d: "M0 6L6 0", "stroke-width": 1 }))),
    shape("rect", { class: "lane", x: 0, y: LANE.caller, width, height: LANE.height }),
    shape("rect", { class: "lane", x: 0, y: LANE.agent, width, height: LANE.height }),
    ...ticks(length, scale),
  ];
  for (const turn of call.turns) {
    if (turn.number) drawn.push(box(turn.start_s, turn.end_s, LANE.caller, LANE.height, "turn-caller", `turn ${turn.number}: ${turn.text}`));
    for (const reply of turn.replies) drawn.push(box(reply.start_s, reply.end_s, LANE.agent, LANE.height, `turn-agent${reply.interrupted ? " cut" : ""}`, `${reply.agent}: ${reply.text}`));
  }
  if (call.peaks) drawn.push(wave(call.peaks.caller, call.peaks.step_s, scale, LANE.caller, "caller"), wave(call.peaks.agent, call.peaks.step_s, scale, LANE.agent, "agent"));
  else for (const [side, spans] of [["caller", call.caller_speech], ["agent", call.agent_speech]])
    for (const [from, to] of spans) drawn.push(box(from, to, LANE[side] + 20, LANE.height - 40, `wave-${side}`));
  for (const one of call.silences) {
    const title = `${(one.end_s - one.start_s).toFixed(1)} s of silence after the ${one.after || "beginning"}`;
    drawn.push(put(box(one.start_s, one.end_s, ...both, "silence", title), { fill: `url(#${hatch})` }, []));
    if ((one.end_s - one.start_s) * scale > 34)
      drawn.push(shape("text", { class: "silence-label", x: ((one.start_s + one.end_s) / 2) * scale, y: LANE.agent - 1 }, `${(one.end_s - one.start_s).toFixed(1)} s`));
  }
  for (const one of call.overlaps) drawn.push(box(one.start_s, one.end_s, ...both, "overlap", `both speak for ${(one.end_s - one.start_s).toFixed(1)} s`));
  drawn.push(...marks(call, scale, width));
  if (call.ghost) {
    for (const [from, to] of call.ghost.caller) drawn.push(box(from, to, LANE.ghost, 8, "wave-caller ghost", "caller in the baseline"));
    for (const [from, to] of call.ghost.agent) drawn.push(box(from, to, LANE.ghost + 10, 8, "wave-agent ghost", "agent in the baseline"));
  }
  const lane = (text, y) => shape("text", { class: "silence-label", x: 4, y, style: "text-anchor:start" }, text);
  drawn.push(lane("caller", LANE.caller + 12), lane("agent", LANE.agent + LANE.height - 4), call.ghost ? lane("baseline", LANE.ghost + 14) : null);
  const head = shape("line", { class: "playhead", x1: 0, x2: 0, y1: 14, y2: LANE.all });
  const label = `Timeline of ${clock(length)}: ${call.turns.length - 1} turns, ${call.overlaps.length} overlaps, ${call.cut_ins.length} interruptions of the caller, ${call.barge_ins_s.length} barge-ins, ${call.silences.length} silences. The transcript below has the same in words.`;
  const drawing = shape("svg", { class: "timeline", viewBox: `0 0 ${width} ${LANE.all}`, style: `width:${width}px;height:${LANE.all}px`, role: "img", "aria-label": label }, ...drawn, head);
  return { drawing, head, scale };
}

function marks(call, scale, width) {
  const drawn = [];
  const free = []; // right ends of the labels in the tool lane, so that none covers another
  const label = (x, text, name, y) => {
    const room = text.length * 6.2;
    const at = Math.min(x, Math.max(0, width - room));
    if ((free[y] || -1) > at) return null;
    free[y] = at + room + 6;
    return shape("text", { class: name, x: at, y }, text);
  };
  for (const turn of call.turns) {
    for (const tool of turn.tools) {
      const bad = tool.ok === true ? "" : " bad";
      const wide = Math.max(4, (tool.end_s - tool.start_s) * scale);
      const title = `${tool.name} ${JSON.stringify(tool.arguments)} → ${tool.ok === null ? "never finished" : tool.result}`;
      drawn.push(shape("rect", { class: `tool${bad}`, x: tool.start_s * scale, y: LANE.tool + 12, width: wide, height: 10, rx: 2 }, hint(title)));
      drawn.push(label(tool.start_s * scale, `${bad ? "✕ " : "⚙ "}${tool.name}`, `tool-text${bad}`, LANE.tool + 9));
    }
    for (const one of turn.handoffs) {
      const x = one.at_s * scale;
      drawn.push(shape("line", { class: "handoff", x1: x, x2: x, y1: LANE.caller - 2, y2: LANE.agent + LANE.height }, hint(`handoff from ${one.came_from} to ${one.to}${one.ok ? "" : " failed"}`)));
      drawn.push(label(x + 4, `⇢ ${one.to}${one.ok ? "" : " ✕"}`, "handoff-text", LANE.agent - 14));
    }
  }
  for (const one of call.cut_ins) {
    const x = one.at_s * scale;
    drawn.push(shape("line", { class: "cut-line", x1: x, x2: x, y1: LANE.caller, y2: LANE.agent + LANE.height }));
    drawn.push(shape("path", { class: "cut-in", d: `M${x - 7} ${LANE.caller}h14l-7 12z` }, hint(`the agent interrupts the caller in turn ${one.turn}`)));
    drawn.push(label(x + 9, "cuts in", "cut-text", LANE.caller + 11));
  }
  for (const at of call.barge_ins_s) {
    const x = at * scale;
    drawn.push(shape("path", { class: "barge-in", d: `M${x} ${LANE.agent - 10}l7 8l-7 8l-7 -8z` }, hint("the caller interrupts the agent")));
  }
  for (const [at, digit] of (call.key_presses || []).map((key) => [key[0], key[1]])) {
    drawn.push(shape("circle", { class: "key", cx: at * scale, cy: LANE.caller + 52, r: 8 }, hint(`key ${digit}`)));
    drawn.push(shape("text", { class: "key-text", x: at * scale, y: LANE.caller + 56 }, digit));
  }
  return drawn;
}

function legend(call) {
  const item = (style, text, sign) => el("li", {}, el("i", { style }, sign || ""), text);
  return el("ul", { class: "legend" },
    item("background:var(--caller)", "caller"), item("background:var(--agent)", "agent"),
    item("color:var(--bad)", "agent interrupts the caller", "▼"), item("color:var(--warn)", "caller interrupts the agent", "◆"),
    item("background:var(--warn);opacity:.6", "both speak"), item("color:var(--silence)", "silence", "╱╱"),
    item("color:var(--tool)", "tool", "⚙"), item("color:var(--handoff)", "handoff", "⇢"),
    call.keys ? item("color:var(--ink)", "key", "●") : null, call.ghost ? item("background:var(--caller);opacity:.5;height:.4rem", "baseline") : null);
}

/* ---------------------------------------------------------------- waterfall, transcript, difference */

function waterfall(call) {
  const turns = call.turns.filter((turn) => turn.delay);
  if (!turns.length) return null;
  const before = {};
  for (const pair of call.pairs || []) if (pair.now !== null && pair.delay_ms[1] !== null) before[pair.now] = pair.delay_ms[1];
  const longest = Math.max(...turns.map((turn) => turn.delay.total_ms), ...Object.values(before));
  const grid = el("div", { class: "falls" });
  for (const turn of turns) {
    const bar = el("div", { class: "fall" });
    for (const part of PARTS) {
      const ms = turn.delay[`${part}_ms`];
      const share = (100 * ms) / longest;
      if (share > 0.2) bar.append(el("span", { class: part === "tool" ? "tool-part" : part, style: `width:${share}%`, title: `${PART_NAMES[part]}: ${Math.round(ms)} ms` }, share > 9 ? `${part} ${Math.round(ms)}` : ""));
    }
    const was = before[turn.number];
    if (was !== undefined) bar.append(el("i", { style: `left:${(100 * was) / longest}%`, title: `before: ${Math.round(was)} ms` }));
    const told = PARTS.map((part) => `${PART_NAMES[part]} ${Math.round(turn.delay[`${part}_ms`])} ms`).join(", ");
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", told);
    grid.append(el("div", { class: "name", title: turn.text }, `${turn.number}  ${turn.text || "(greeting)"}`), bar, el("div", { class: "total" }, `${Math.round(turn.delay.total_ms)} ms`));
  }
  const names = PARTS.map((part) => el("li", {}, el("i", { class: part === "tool" ? "tool-part" : part }), `${part}: ${PART_NAMES[part]}`));
  if (Object.keys(before).length) names.push(el("li", {}, el("i", { style: "border-left:3px dotted var(--ink);border-radius:0" }), "before"));
  return [el("h3", {}, "Response delay, turn by turn"), grid, el("ul", { class: "legend" }, ...names)];
}

function lines(call) {
  const all = [];
  for (const turn of call.turns) {
    if (turn.number) all.push({ at: turn.start_s, to: turn.end_s, kind: "caller", who: "caller", text: turn.text || "(nothing)", note: turn.understood ? "" : "not understood" });
    for (const one of turn.replies) all.push({ at: one.start_s, to: one.end_s, kind: "agent", who: one.agent || "agent", text: one.text, note: one.interrupted ? "interrupted" : "" });
    for (const one of turn.tools) all.push({ at: one.start_s, to: one.end_s, kind: "deed", bad: one.ok !== true, who: "tool", text: `${one.name} ${JSON.stringify(one.arguments)} → ${one.ok === null ? "never finished" : one.result}`, note: one.ok === false ? "failed" : "" });
    for (const one of turn.handoffs) all.push({ at: one.at_s, to: one.at_s, kind: "deed", bad: !one.ok, who: "handoff", text: `${one.came_from} → ${one.to}`, note: one.ok ? "" : "failed" });
  }
  for (const one of call.cut_ins) all.push({ at: one.at_s, to: one.at_s, kind: "deed", bad: true, who: "▼", text: "the agent interrupts the caller", note: "" });
  for (const key of call.key_presses || []) all.push({ at: key[0], to: key[0], kind: "deed", who: "key", text: key[1], note: "" });
  for (const one of call.silences) all.push({ at: one.start_s, to: one.end_s, kind: "deed", who: "silence", text: `${(one.end_s - one.start_s).toFixed(1)} s`, note: "" });
  return all.sort((a, b) => a.at - b.at);
}

function transcript(call, seek) {
  const all = lines(call);
  const nodes = all.map((line) => el("li", { class: `${line.kind}${line.bad ? " bad" : ""}` },
    el("button", { type: "button", "aria-label": `go to ${clock1(line.at)}`, onclick: () => seek(line.at) }, clock1(line.at)),
    el("span", { class: `who ${line.kind}` }, line.who), el("span", { class: `words ${line.kind}${line.bad ? " bad" : ""}` }, line.text, line.note ? el("em", {}, ` (${line.note})`) : null)));
  return { node: el("ol", { class: "lines" }, ...nodes), all, nodes };
}

const pieces = (list) => list.flatMap(([kind, text], at) => [at ? " " : null, kind === "=" ? text : el(kind === "-" ? "del" : "ins", {}, text)]);

function difference(call) {
  if (!call.pairs) return null;
  const changed = call.pairs.filter((pair) => !pair.alike || JSON.stringify(pair.deeds[0]) !== JSON.stringify(pair.deeds[1]));
  const head = el("h3", {}, "Against the baseline");
  const where = call.diverged === null ? "The conversation takes the same course." : `It is another conversation from turn ${call.diverged} on.`;
  if (!changed.length) return [head, el("p", { class: "meta" }, `${where} The same words and deeds in all ${call.pairs.length - 1} turns.`)];
  const row = (pair) => {
    const deeds = JSON.stringify(pair.deeds[0]) === JSON.stringify(pair.deeds[1]) ? [] : [...pair.deeds[1].map((text) => el("div", {}, el("del", {}, text))), ...pair.deeds[0].map((text) => el("div", {}, el("ins", {}, text)))];
    const name = pair.now === null ? `${pair.before} gone` : pair.before === null ? `${pair.now} new` : `${pair.now}`;
    const ms = pair.delay_ms.map((value) => (value === null ? "–" : Math.round(value)));
    return el("tr", {}, el("td", {}, `turn ${name}`), el("td", {}, ...pieces(pair.caller)), el("td", {}, ...pieces(pair.agent), ...deeds), el("td", {}, `${ms[0]} ms, before ${ms[1]}`));
  };
  const titles = ["turn", "caller", "agent", "delay"].map((text) => el("th", { scope: "col" }, text));
  return [head, el("p", { class: "meta" }, `${where} Struck out: only before. Underlined: only now.`),
    el("div", { class: "wide" }, el("table", { class: "diff" }, el("thead", {}, el("tr", {}, ...titles)), el("tbody", {}, ...changed.map(row))))];
}

function title(call) {
  const facts = call.facts || {};
  const told = [facts.caller && `${facts.caller} → ${facts.called || "?"}`, facts.agent, facts.started, call.length_s !== undefined && clock(call.length_s),
    call.cause && `ended: ${call.cause}${call.ended_by ? ` (${call.ended_by})` : ""}`, call.talk_ratio !== null && call.talk_ratio !== undefined && `agent speaks ${Math.round(100 * call.talk_ratio)} %`, call.bundle];
  const status = call.status === "error" ? "not replayed" : call.status;
  return [el("div", { class: "head" }, el("h2", { tabindex: -1 }, call.name), el("span", { class: `badge ${call.status}` }, status)), el("p", { class: "meta" }, told.filter(Boolean).join(" · "))];
}

/* ---------------------------------------------------------------- showing it */

function show(place) {
  close();
  const call = load(place);
  if (!call) { document.addEventListener("DOMContentLoaded", () => show(place), { once: true }); return; }
  $("overview").hidden = true;
  document.body.classList.add("one");
  const detail = $("detail");
  detail.hidden = false;
  const at = rows.findIndex((row) => row.dataset.place === String(place));
  const step = (to) => (rows[to] ? el("a", { href: `#call=${rows[to].dataset.place}` }, to > at ? "next (j)" : "previous (k)") : null);
  detail.append(el("nav", { class: "head back", "aria-label": "calls" }, el("a", { href: "#calls" }, "‹ all calls"), step(at - 1), step(at + 1)), ...title(call));
  if (!call.turns) { detail.append(foundList(call) || ""); open = { place, call, stop() {} }; scrollTo(0, 0); return; }
  const url = sound(place);
  const audio = url ? el("audio", { controls: "", preload: "metadata", src: url }) : null;
  let now = 0;
  const seek = (s) => { now = s; if (audio) audio.currentTime = s; moved(); };
  const said = transcript(call, seek);
  const scroll = el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "timeline, scrolls sideways" });
  let zoom = 1, drawn = null, frame = 0;
  const draw = () => {
    const width = Math.max(320, scroll.clientWidth - 2) * zoom;
    drawn = timeline(call, width);
    drawn.drawing.addEventListener("click", (event) => seek((event.clientX - drawn.drawing.getBoundingClientRect().left) / drawn.scale));
    scroll.replaceChildren(drawn.drawing);
    moved();
  };
  const moved = () => {
    const x = now * drawn.scale;
    drawn.head.setAttribute("x1", x);
    drawn.head.setAttribute("x2", x);
    if (x < scroll.scrollLeft || x > scroll.scrollLeft + scroll.clientWidth) scroll.scrollLeft = x - 60;
    said.all.forEach((line, index) => said.nodes[index].classList.toggle("now", now > 0 && line.at <= now + 0.05 && now < Math.max(line.to, line.at + 0.5)));
  };
  const follow = () => { now = audio.currentTime; moved(); frame = audio.paused ? 0 : requestAnimationFrame(follow); };
  if (audio) for (const name of ["play", "seeked", "pause"]) audio.addEventListener(name, () => { cancelAnimationFrame(frame); follow(); });
  const rate = el("select", { "aria-label": "speed", onchange: () => { audio.playbackRate = Number(rate.value); } }, ...["1", "1.5", "2"].map((value) => el("option", { value }, `${value}×`)));
  const bigger = (factor) => () => { zoom = Math.min(64, Math.max(1, zoom * factor)); draw(); };
  detail.append(...[foundList(call, seek), el("div", { class: "player" }, audio || el("span", { class: "meta" }, `No sound: ${call.no_sound || "left out of this page"}`), audio ? rate : null,
    el("span", { class: "buttons" }, el("button", { type: "button", "aria-label": "zoom in", onclick: bigger(2) }, "+"), " ", el("button", { type: "button", "aria-label": "zoom out", onclick: bigger(0.5) }, "−"))),
  scroll, legend(call), ...(waterfall(call) || []), el("h3", {}, "Transcript"), said.node, ...(difference(call) || [])].filter(Boolean));
  draw();
  const resized = new ResizeObserver(() => { if (Math.abs(drawn.drawing.viewBox.baseVal.width - Math.max(320, scroll.clientWidth - 2) * zoom) > 4) draw(); });
  resized.observe(scroll);
  open = { place, call, audio, seek, stop() { cancelAnimationFrame(frame); resized.disconnect(); if (url) URL.revokeObjectURL(url); } };
  scrollTo(0, 0);
  detail.querySelector("h2").focus({ preventScroll: true });
}

function close() {
  if (open) open.stop();
  open = null;
  $("detail").replaceChildren();
  $("detail").hidden = true;
  $("overview").hidden = false;
  document.body.classList.remove("one");
}

function route() {
  const call = /^#call=(\d+)$/.exec(location.hash);
  if (call) return show(Number(call[1]));
  close();
  for (const bar of document.querySelectorAll(".bar.chosen")) bar.classList.remove("chosen");
  const bar = /^#bar=([\w-]+)$/.exec(location.hash);
  const chosen = bar && $(`bar-${bar[1]}`);
  only = chosen ? new Set(chosen.dataset.calls.split(" ")) : null;
  onlyLabel = chosen ? chosen.dataset.label : "";
  if (chosen) chosen.classList.add("chosen");
  listed();
  if (location.hash === "#calls") $("calls").scrollIntoView();
}

function printed() {
  const wanted = open ? [open.place] : rows.slice(0, Number(document.body.dataset.printed)).filter((row) => row.dataset.status !== "passed" || rows.length <= 5).map((row) => Number(row.dataset.place));
  $("print").replaceChildren(...wanted.map((place) => {
    const call = load(place);
    const article = el("article", { class: call.turns ? null : "short" }, ...title(call), foundList(call) || "");
    if (call.turns) article.append(...[timeline(call, 740).drawing, legend(call), ...(waterfall(call) || []), el("h3", {}, "Transcript"), transcript(call, () => {}).node, ...(difference(call) || [])].filter(Boolean));
    return article;
  }));
}

$("search").addEventListener("input", listed);
$("filter").addEventListener("change", listed);
$("clear").addEventListener("click", () => { $("search").value = $("filter").value = ""; only = null; location.hash = "#calls"; listed(); });
for (const head of document.querySelectorAll("th[data-sort]")) head.addEventListener("click", () => sortBy(head));
addEventListener("hashchange", route);
addEventListener("beforeprint", printed);
addEventListener("afterprint", () => $("print").replaceChildren());
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (event.key === "Escape" && open) location.hash = "#calls";
  if (event.key === " " && open && open.audio && event.target.tagName !== "BUTTON" && event.target.tagName !== "AUDIO") { event.preventDefault(); open.audio.paused ? open.audio.play() : open.audio.pause(); }
  const way = { j: 1, k: -1 }[event.key];
  if (!way) return;
  const shown = rows.filter((row) => !row.hidden);
  const next = shown[open ? shown.findIndex((row) => row.dataset.place === String(open.place)) + way : 0];
  if (next) location.hash = `#call=${next.dataset.place}`;
});
route();
