// Journey: one chain of events as a waterfall. Time in which nothing happens is folded.

import { ask, clock, count, el, seconds, show, svg, table } from "./parts.js";
import * as state from "./state.js";

const LABEL = 300, WIDTH = 1080, ROW = 30, FOLD = 26;
const KINDS = {
  run: "handler ran", queue: "waited in the queue", retry: "waited for a retry", next: "waits for the next run",
  outbox: "lay in the outbox", receipts: "waited for receipts", parked: "lay as a dead letter", idle: "nothing",
};

const about = document.getElementById("journey-about");
const body = document.getElementById("journey-body");
let answer = null, found = null, asked = "";

export async function refresh() {
  const key = state.get("key"), text = state.get("find");
  const now = `${key}\n${text}`;
  if (asked !== now) { answer = null; found = null; asked = now; }
  if (key) answer = await ask(`journey?key=${encodeURIComponent(key)}`);
  else found = await ask(`find?key=${encodeURIComponent(text)}`);
  if (asked === now) draw();
}

export function draw() {
  if (state.get("key")) {
    about.textContent = answer && !answer.problem ? headline(answer) : "";
    show(body, ["journey", state.get("key"), answer], () => [back(), ...(!answer ? [el("p", {}, "looking …")] : answer.problem ? [problem(answer)] : journey(answer))]);
    return;
  }
  about.textContent = state.get("find") ? `found for “${state.get("find")}”` : "the latest; choose one, or find it by id, subject or type";
  show(body, ["found", found], () => list(found));
}

function headline(chain) {
  const retry = Math.round((chain.shares.retry ?? 0) * 100);
  const waits = retry >= 10 ? `; ${retry} % of it waiting for a retry` : "";
  return `${chain.subject ?? chain.correlation.slice(0, 8)}  ${seconds(chain.end - chain.begin)}, ${chain.events.length} events, ${chain.deliveries} deliveries${waits}`;
}

function back() {
  return el("p", {}, el("a", { href: state.link({ key: "" }), "data-state": true }, "← all journeys"));
}

function problem(given) {
  return el("p", { role: "alert" }, given.problem);
}

function list(given) {
  if (!given) return [el("p", {}, "looking …")];
  if (given.problem) return [problem(given)];
  if (!given.found.length) {
    return [el("p", {}, "Nothing was told yet. Services that run by `eventbus run` tell of their deliveries while this page is open.")];
  }
  return [el("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Journeys" }, table("Journeys",
    ["subject or id", "began with", "from", "last", "failures", "at"],
    given.found.map((each) => [
      el("a", { href: state.link({ key: each.key }), "data-state": true, "data-focus": each.key }, each.subject || each.key.slice(0, 13) || "(no id)"),
      each.type, each.source, each.error ? `${each.last}: ${each.error}` : each.last,
      each.failures ? `✗ ${count(each.failures)}` : "0", clock(each.at)])))];
}

function journey(chain) {
  const fold = folded(chain);
  const height = chain.lanes.length * ROW + 26;
  const parts = chain.lanes.flatMap((lane, index) => drawLane(lane, 24 + index * ROW, fold));
  const marks = fold.folds.map(([x, from, to]) => svg("g", { class: "fold" },
    svg("title", {}, `${seconds(to - from)} in which nothing happened`),
    svg("path", { d: `M${x + 8} 20L${x + 4} ${height}M${x + 16} 20L${x + 12} ${height}` }),
    svg("text", { x: x + 10, y: 14, "text-anchor": "middle" }, seconds(to - from))));
  return [
    el("p", { class: "sentence", id: "sentence" }, chain.sentence),
    el("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Waterfall" },
      svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, width: WIDTH, height, role: "img", "aria-label": `Waterfall: ${chain.sentence} The table below says the same.` },
        svg("text", { x: LABEL, y: 14, class: "about" }, clock(chain.begin, 3)), marks, parts)),
    el("p", { class: "legend" }, Object.entries(KINDS).filter(([kind]) => kind !== "idle").map(([kind, text]) => [
      svg("svg", { width: 18, height: 12, "aria-hidden": "true" }, svg("rect", { class: `span ${kind}`, x: 1, y: 1, width: 16, height: 10 })), ` ${text}  `])),
    chain.omitted ? el("p", {}, `${count(chain.omitted)} more lanes are left out.`) : null,
    el("details", {}, el("summary", {}, "The same as a table"), el("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Table of the journey" },
      table("Journey", ["who", "event", "where", "from", "what", "how it ended"], chain.lanes.map((lane) => [
        `${lane.who}${lane.critical ? " (critical path)" : ""}`, lane.type, lane.place, clock(lane.begin, 3),
        lane.spans.map((span) => `${span.outcome ?? KINDS[span.kind]} ${seconds(span.end - span.begin)}`).join(", "),
        `${lane.outcome}${lane.error ? `: ${lane.error}${lane.frame ? ` at ${lane.frame}` : ""}` : ""}`])))),
    el("details", {}, el("summary", {}, "Events and what caused them"), el("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Events" },
      table("Events", ["event", "id", "topic", "by", "caused by"], chain.events.map((each) => [
        each.type, each.id, each.topic, each.source, chain.events.find((other) => other.id === each.cause)?.type ?? each.cause ?? "nobody: it is the first"])))),
  ].filter(Boolean);
}

function drawLane(lane, y, fold) {
  const label = `${lane.who}  ${lane.type}`;
  const most = 38;
  const x = fold.place(lane.begin);
  const title = `${lane.type} on ${lane.place}, ${lane.outcome}`;
  const bars = lane.spans.map((span) => {
    const left = fold.place(span.begin), right = fold.place(span.end);
    const width = Math.max(right - left, span.kind === "run" ? 3 : 1);
    const text = span.kind === "run" && span.outcome !== "handled" ? (span.error ?? span.outcome) : "";
    return svg("g", {},
      svg("title", {}, `${KINDS[span.kind]} for ${seconds(span.end - span.begin)}${span.outcome ? `: ${span.outcome}` : ""}${span.error ? ` (${span.error})` : ""}`),
      svg("rect", { class: `span ${span.kind} ${span.outcome && span.outcome !== "handled" ? "failed" : ""}`, x: left, y: span.kind === "run" ? y : y + 6, width, height: span.kind === "run" ? 18 : 6 }),
      text ? svg("text", { x: left, y: y + 17, class: "mark" }, "✗") : null);
  });
  const end = Math.max(x, ...lane.spans.map((span) => fold.place(span.end)));
  const last = lane.outcome === "handled" || lane.outcome === "settled" ? lane.what === "outbox" ? "settled" : "" : `${lane.outcome}${lane.error ? ` ${lane.error}` : ""}`;
  return [svg("g", { class: `lane ${lane.critical ? "critical" : ""}` },
    svg("title", {}, title),
    svg("text", { x: 4, y: y + 13, class: "name" }, label.length > most ? `${label.slice(0, most - 1)}…` : label),
    bars,
    last ? svg("text", { x: Math.min(end + 5, WIDTH - 150), y: y + 13, class: "about" }, last.slice(0, 40)) : null)];
}

// Maps instants to pixels; gaps in which no handler ran and nothing came are as wide as FOLD.
function folded(chain) {
  const instants = new Set([chain.begin, chain.end]);
  for (const lane of chain.lanes) for (const span of lane.spans) { instants.add(span.begin); instants.add(span.end); }
  const order = [...instants].sort((one, other) => one - other);
  const last = order.at(-1);
  const gaps = order.slice(1).map((end, index) => end - order[index]);
  const whole = gaps.reduce((sum, gap) => sum + gap, 0);
  const long = Math.max(whole / 6, 0.05);
  const folds = gaps.filter((gap) => gap > long).length;
  const short = gaps.filter((gap) => gap <= long).reduce((sum, gap) => sum + gap, 0);
  const room = WIDTH - LABEL - 160 - folds * FOLD * 2;
  const places = new Map([[order[0], LABEL]]);
  const marks = [];
  let x = LABEL;
  gaps.forEach((gap, index) => {
    if (gap > long) { marks.push([x + FOLD / 2, order[index], order[index + 1]]); x += FOLD * 2; }
    else x += short ? Math.min((gap / short) * room, room) : 0;
    places.set(order[index + 1], x);
  });
  return { folds: marks, place: (instant) => places.get(instant) ?? (instant > last ? x : LABEL) };
}
