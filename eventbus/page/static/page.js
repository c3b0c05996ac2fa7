// The page: takes looks from the server, and hands them to the panels.

import * as contracts from "./contracts.js";
import * as dead from "./dead.js";
import * as flow from "./flow.js";
import * as health from "./health.js";
import * as journey from "./journey.js";
import { count } from "./parts.js";
import * as state from "./state.js";

const SILENCE = 5000;
const live = document.getElementById("live");
const counts = document.getElementById("counts");
const problem = document.getElementById("problem");
const pause = document.getElementById("pause");
const internal = document.getElementById("internal");
const find = document.getElementById("find");
let latest = null, heard = 0, letters = -1, isDrawing = false;

function say(text) {
  problem.hidden = !text;
  if (problem.textContent !== text) problem.textContent = text;
}

function look(frame) {
  heard = Date.now();
  if (frame.problem) {
    live.textContent = "○ no answer";
    say(`The bus cannot be seen: ${frame.problem}. What is shown is from before; this page looks again each second.`);
    return;
  }
  say("");
  live.textContent = state.get("paused") ? "‖ paused" : "● live";
  if (state.get("paused")) { flow.remember(frame); return; }
  latest = frame;
  if (!isDrawing) { isDrawing = true; requestAnimationFrame(draw); }
  const there = frame.topics.reduce((sum, topic) => sum + topic.channels.reduce((dead, each) => dead + each.dead, 0), 0)
    + frame.orphans.reduce((sum, each) => sum + each.dead, 0);
  if (there !== letters) { letters = there; dead.refresh(); }
}

function draw() {
  isDrawing = false;
  if (!latest) return;
  const topics = latest.topics.filter((topic) => !topic.internal).length;
  const text = `${count(topics)} topics, ${count(latest.services.length)} services, ${latest.problems.length ? `${count(latest.problems.length)} problems` : "no problem"}`;
  if (counts.textContent !== text) counts.textContent = text;
  flow.draw(latest);
}

function connect() {
  const source = new EventSource("flow");
  source.onmessage = (event) => look(JSON.parse(event.data));
  source.onopen = () => { heard = Date.now(); };
  source.onerror = () => {
    live.textContent = "○ disconnected";
    say("The page's server does not answer. What is shown is from before; it is tried again each second.");
    if (source.readyState === EventSource.CLOSED) { source.close(); setTimeout(connect, 1000); }
  };
}

function follow() {
  const isPaused = Boolean(state.get("paused"));
  pause.setAttribute("aria-pressed", String(isPaused));
  pause.textContent = isPaused ? "Go on" : "Pause";
  internal.checked = Boolean(state.get("internal"));
  if (document.activeElement !== find) find.value = state.get("find");
  draw();
  journey.draw();
  journey.refresh();
  contracts.draw();
}

pause.addEventListener("click", () => state.set({ paused: state.get("paused") ? "" : "1" }, { replace: true }));
internal.addEventListener("change", () => state.set({ internal: internal.checked ? "1" : "" }, { replace: true }));
document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  state.set({ find: find.value.trim(), key: "" });
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || /^(input|textarea)$/i.test(event.target.tagName)) return;
  event.preventDefault();
  find.focus();
});

state.follow(follow);
connect();
follow();
contracts.refresh();
health.refresh();
setInterval(() => { if (!document.hidden && !state.get("paused")) journey.refresh(); }, 1000);
setInterval(() => { if (!document.hidden) { health.refresh(); dead.refresh(); contracts.refresh(); } }, 15000);
setInterval(() => { if (heard && Date.now() - heard > SILENCE) live.textContent = "○ silent"; }, 1000);
