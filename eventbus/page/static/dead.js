// Dead letters by their cause: what they are, whether they would pass now, and their replay in steps.

import { act, ask, clock, count, el, may, rate, show, table } from "./parts.js";
import * as state from "./state.js";

const WORDS = { pass: "✓ would pass", fail: "✗ would fail", cannot: "? cannot be tried" };
const about = document.getElementById("dead-about");
const body = document.getElementById("dead-body");
const tried = new Map(); // verdicts by a group's key
let answer = null, ramps = {}, isFollowing = false;

export async function refresh() {
  answer = await ask("answers/dead");
  draw();
}

function draw() {
  about.textContent = answer.problem ? "" : answer.total ? `${count(answer.total)} in ${count(answer.groups.length)} causes` : "none";
  show(body, [answer, [...tried], ramps], () => {
    if (answer.problem) return el("p", { role: "alert" }, answer.problem);
    const gone = Object.keys(ramps).filter((key) => !answer.groups.some((each) => each.key === key));
    return [
      answer.groups.length ? el("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Groups of dead letters" }, groups()) : el("p", {}, "Nothing is parked."),
      ...gone.map((key) => el("p", { role: "status" }, `${key}: ${climbed(ramps[key])}`)),
    ];
  });
}

function groups() {
  return table("Dead letters by cause", ["letters", "cause", "where", "an hour", "last", "", ...(may("replay") ? ["try and replay"] : [])],
    answer.groups.map((group) => [
      `${count(group.count)} (${Math.round(group.share * 100)} %)`,
      [el("strong", {}, group.kind), group.place ? ` ${group.place}` : "", group.cause ? el("div", { class: "cause" }, group.cause) : null].filter(Boolean),
      `${group.topic}/${group.channel}`,
      rate(group.rate), clock(group.last),
      group.ids[0] ? el("a", { href: state.link({ key: group.ids[0], find: "" }), "data-state": true, "data-focus": `d-${group.key}` }, "journey") : "",
      ...(may("replay") ? [actions(group)] : []),
    ]));
}

function actions(group) {
  const { topic, channel, key } = group;
  const ramp = ramps[key];
  const isBusy = tried.get(key) === "…" || (ramp && !ramp.over);
  const verdicts = tried.get(key);
  return [
    el("button", { disabled: isBusy, "data-focus": `try-${key}`, on: { click: () => attempt({ topic, channel, key }) } }, "dry run"), " ",
    el("button", { disabled: isBusy, "data-focus": `ramp-${key}`, on: { click: () => climb({ topic, channel, key }) } }, "replay 1 › 10 › 100 › all"),
    el("div", { role: "status" }, ramp ? climbed(ramp) : !verdicts ? "" : verdicts === "…" ? "a worker tries them …" : said(verdicts)),
  ];
}

function said(given) {
  if (given.problem) return given.problem;
  return given.verdicts.map((each) => el("div", {}, `${count(each.count)} ${WORDS[each.word]}${each.reason ? `: ${each.reason}` : ""}${each.place ? ` at ${each.place}` : ""}`));
}

function climbed(ramp) {
  const steps = ramp.steps.map((each) => `${count(each.handled)} of ${count(each.replayed)} handled`).join(", then ");
  return [steps, ramp.problem || (ramp.over ? (ramp.steps.length ? "done" : "nothing to replay") : "waiting for word …")].filter(Boolean).join("; ");
}

async function attempt(group) {
  tried.set(group.key, "…");
  delete ramps[group.key];
  draw();
  tried.set(group.key, await act("rehearse", group));
  draw();
}

async function climb(group) {
  const begun = await act("replay", group);
  ramps[group.key] = begun.problem ? { steps: [], over: true, problem: begun.problem } : begun;
  draw();
  if (!begun.problem) followRamps();
}

async function followRamps() {
  if (isFollowing) return;
  isFollowing = true;
  while (Object.values(ramps).some((each) => !each.over)) {
    await new Promise((wake) => { setTimeout(wake, 500); });
    const found = await ask("ramps");
    if (!found.problem) ramps = { ...ramps, ...found };
    await refresh();
  }
  isFollowing = false;
}
