// Flow: publishers, topics and channels as a picture, and as a table behind it.

import { act, count, el, may, rate, show, svg, table } from "./parts.js";
import * as state from "./state.js";

const ROW = 44, LEFT = 180, TOPIC = 270, WIDTH = 1080, MOST = 40;
const GLYPHS = { ok: "●", retrying: "↻", "backing off": "◌", paused: "‖", "nobody listens": "○" };

const picture = document.getElementById("picture");
const chosen = document.getElementById("chosen");
const behind = document.querySelector("#flow-table div");
const problems = document.getElementById("problems");
const histories = new Map();

export function draw(frame) {
  remember(frame);
  const at = state.get("at");
  const all = frame.topics.filter((topic) => state.get("internal") || !topic.internal);
  const topics = neighbourhood(all, at);
  show(problems, frame.problems, () => frame.problems.map((text) => el("li", {}, `▲ ${text}`)));
  show(picture, [topics, at, all.length], () => (
    topics.length ? drawn(topics, at) : el("p", {}, "No topic yet. The first event that is published makes one.")));
  show(chosen, [at, histories.get(at)?.length, frame.at], () => detail(all, at, all.length - topics.length));
  if (behind.parentElement.open) show(behind, all, () => asTable(all));
}

behind.parentElement.addEventListener("toggle", () => behind.parentElement.open && last && draw(last));
let last = null;
export function remember(frame) {
  last = frame;
  for (const topic of frame.topics) {
    note(topic.name, [frame.at, topic.in, topic.depth]);
    for (const channel of topic.channels) note(`${topic.name}/${channel.name}`, [frame.at, channel.out, channel.depth]);
  }
}

function note(name, values) {
  const history = histories.get(name) ?? [];
  if (history.length && history.at(-1)[0] >= values[0]) return;
  history.push(values);
  if (history.length > 60) history.shift();
  histories.set(name, history);
}

// Above MOST nodes only what lies around the chosen one is drawn.
function neighbourhood(topics, at) {
  const nodes = topics.reduce((sum, topic) => sum + 1 + topic.channels.length, 0);
  if (nodes <= MOST) return topics;
  const [name, channel] = at.split("/");
  const near = new Set([name]);
  for (const topic of topics) {
    const speaks = topic.publishers.some((each) => each.name === channel || each.name === name);
    const listens = topic.channels.some((each) => each.name === name || each.name === channel);
    if (speaks || listens) near.add(topic.name);
  }
  const found = topics.filter((topic) => near.has(topic.name));
  const busiest = [...topics].sort((one, other) => other.in - one.in || one.name.localeCompare(other.name));
  return found.length ? found.slice(0, MOST) : busiest.slice(0, MOST / 4);
}

function drawn(topics, at) {
  const parts = [], lines = [];
  const most = Math.max(1, ...topics.flatMap((topic) => [topic.in, ...topic.channels.map((each) => each.out)]));
  const width = (number) => (number ? 1.5 + 8 * Math.sqrt(number / most) : 1);
  let y = 8;
  for (const topic of topics) {
    const rows = Math.max(topic.channels.length, topic.publishers.length, 1);
    const middle = y + (rows * ROW) / 2;
    topic.publishers.forEach((publisher, index) => {
      const own = y + ((index + 0.5) * rows * ROW) / topic.publishers.length;
      lines.push(edge(LEFT, own, TOPIC, middle, width(publisher.rate), `${rate(publisher.rate)}/s`));
      parts.push(node(4, own, LEFT - 4, publisher.name, "", `publisher ${publisher.name}, ${rate(publisher.rate)} a second`, at));
    });
    const about = topic.paused ? "‖ paused" : `${rate(topic.in)}/s` + (topic.depth ? `, ${count(topic.depth)} wait` : "");
    parts.push(node(TOPIC, middle, 230, topic.name, about, `topic ${topic.name}, ${about}`, at));
    topic.channels.forEach((channel, index) => {
      const own = y + ((index + 0.5) * rows * ROW) / topic.channels.length;
      lines.push(edge(TOPIC + 230, middle, 610, own, width(channel.out), `${rate(channel.out)}/s`));
      parts.push(node(610, own, WIDTH - 614, channel.name, facts(channel),
        `channel ${channel.name} of ${topic.name}: ${facts(channel)}`, at, `${topic.name}/${channel.name}`,
        channel.dead ? "bad" : channel.state === "ok" ? "" : "warn"));
    });
    y += rows * ROW + 10;
  }
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${y}`, width: WIDTH, height: y, role: "group", "aria-label": "Flow" }, lines, parts);
}

function facts(channel) {
  const parts = [`${GLYPHS[channel.state]} ${channel.state}`, `${count(channel.depth + channel.deferred)} wait`, `${channel.consumers}×`];
  if (channel.running != null) parts.push(`${rate(channel.running)} run`);
  if (channel.retry) parts.push(`retry ${rate(channel.retry)}/s`);
  if (channel.dead) parts.push(`dead ${count(channel.dead)} !`);
  return parts.join("  ");
}

function node(x, y, width, name, about, label, at, key = name, kind = "") {
  const pick = () => state.set({ at: key === state.get("at") ? "" : key });
  const most = Math.floor(width / 8.2);
  const short = name.length > most ? `${name.slice(0, most - 1)}…` : name;
  return svg("g", {
    class: `node ${kind} ${key === at ? "at" : ""}`, tabindex: 0, role: "button", "data-focus": key,
    "aria-pressed": key === at ? "true" : "false",
    on: { click: pick, keydown: (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), pick()) },
  },
  svg("title", {}, label),
  svg("rect", { x, y: y - 17, width, height: 34, rx: 5 }),
  svg("text", { x: x + 8, y: about ? y - 3 : y + 5, class: "name" }, short),
  about ? svg("text", { x: x + 8, y: y + 12, class: "about" }, about) : null);
}

function edge(x, y, toX, toY, width, text) {
  const half = (toX - x) / 2;
  return svg("g", { class: "edge" },
    svg("path", { d: `M${x} ${y}C${x + half} ${y} ${x + half} ${toY} ${toX} ${toY}`, "stroke-width": width.toFixed(1) }),
    svg("text", { x: x + half, y: (y + toY) / 2 - 6, "text-anchor": "middle" }, text));
}

function detail(topics, at, hidden) {
  const more = hidden > 0 ? el("p", {}, `${count(hidden)} more topics are in the table; choose one to see what lies around it.`) : null;
  const history = histories.get(at);
  if (!history) return more ? [more] : [];
  const switcher = flowSwitch(topics, at);
  const peak = Math.max(1, ...history.map((each) => each[1]));
  const from = history.at(-1)[0] - 60;
  const points = history.map((each) => `${((each[0] - from) / 60) * 600},${60 - (each[1] / peak) * 56}`).join(" ");
  const values = history.map((each) => rate(each[1]));
  return [more, switcher, el("figure", {},
    el("figcaption", {}, `${at}: the last 60 s, now ${values.at(-1)} a second, at most ${rate(peak)}; ${count(history.at(-1)[2])} wait`),
    svg("svg", { viewBox: "0 0 600 62", class: "spark", role: "img", "aria-label": `Rates of ${at}, a second each: ${values.join(", ")}` },
      svg("polyline", { points }))), ].filter(Boolean);
}

// Where it is allowed: a button that stops the deliveries of the chosen channel, or lets them go on.
function flowSwitch(topics, at) {
  const found = topics.flatMap((topic) => topic.channels.map((channel) => [topic.name, channel])).find(([topic, channel]) => `${topic}/${channel.name}` === at);
  if (!found || !may("pause")) return null;
  const [topic, channel] = found;
  const isPaused = channel.state === "paused";
  const said = el("span", { role: "status" });
  const press = async () => {
    const done = await act("pause", { topic, channel: channel.name, key: isPaused ? "resume" : "pause" });
    said.textContent = done.problem ? ` ${done.problem}` : isPaused ? " deliveries go on" : " deliveries stop; what comes waits";
  };
  return el("p", {}, el("button", { "data-focus": "switch", on: { click: press } }, isPaused ? "resume deliveries" : "pause deliveries"), said);
}

function asTable(topics) {
  const rows = [];
  for (const topic of topics) {
    const link = (key, text) => el("a", { href: state.link({ at: key }), "data-state": true, "data-focus": `t-${key}` }, text);
    const from = topic.publishers.map((each) => each.name).join(", ");
    rows.push([link(topic.name, topic.name), from, rate(topic.in), "", count(topic.depth), "", "", "", topic.paused ? "paused" : ""]);
    for (const each of topic.channels) {
      rows.push([link(`${topic.name}/${each.name}`, `${topic.name} / ${each.name}`), "", "", rate(each.out), count(each.depth + each.deferred),
        count(each.consumers), rate(each.retry), count(each.dead), `${GLYPHS[each.state]} ${each.state}`]);
    }
  }
  return table("Topics and channels", ["topic / channel", "publishers", "in/s", "out/s", "wait", "consumers", "retry/s", "dead", "state"], rows);
}
