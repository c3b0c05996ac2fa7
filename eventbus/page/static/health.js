// Health: what the doctor finds.

import { ask, count, el, show } from "./parts.js";

const GLYPHS = { ok: "✓", note: "i", warning: "▲", fault: "✗" };
const about = document.getElementById("health-about");
const body = document.getElementById("health-body");

export async function refresh() {
  const answer = await ask("answers/health");
  const bad = (answer.findings ?? []).filter((each) => each.level === "fault" || each.level === "warning");
  about.textContent = answer.problem ? "" : bad.length ? `${count(bad.length)} to look at` : "well";
  show(body, answer, () => (answer.problem
    ? el("p", { role: "alert" }, answer.problem)
    : [list(answer.findings.filter((each) => each.level !== "ok")), well(answer.findings.filter((each) => each.level === "ok"))]));
}

function list(findings) {
  return el("ul", { class: "findings" }, [...findings].sort((one, other) => order(one) - order(other)).map((each) => (
    el("li", { class: each.level }, el("b", {}, `${GLYPHS[each.level]} ${each.level} `), `${each.check}: ${each.text}`,
      each.mend ? el("div", { class: "mend" }, each.mend) : null))));
}

function well(findings) {
  return el("details", {}, el("summary", { "data-focus": "well" }, `${count(findings.length)} checks are well`), list(findings));
}

function order(finding) {
  return ["fault", "warning", "note", "ok"].indexOf(finding.level);
}
