// Dead letters by their cause.

import { ask, clock, count, el, rate, show, table } from "./parts.js";
import * as state from "./state.js";

const about = document.getElementById("dead-about");
const body = document.getElementById("dead-body");

export async function refresh() {
  const answer = await ask("answers/dead");
  about.textContent = answer.problem ? "" : answer.total ? `${count(answer.total)} in ${count(answer.groups.length)} causes` : "none";
  show(body, answer, () => {
    if (answer.problem) return el("p", { role: "alert" }, answer.problem);
    if (!answer.groups.length) return el("p", {}, "Nothing is parked.");
    return el("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Groups of dead letters" }, table("Dead letters by cause",
      ["letters", "cause", "where", "an hour", "last", "example"],
      answer.groups.map((group) => [
        `${count(group.count)} (${Math.round(group.share * 100)} %)`,
        [el("strong", {}, group.kind), group.place ? ` ${group.place}` : "", group.cause ? el("div", { class: "cause" }, group.cause) : null].filter(Boolean),
        `${group.topic}/${group.channel}`,
        rate(group.rate), clock(group.last),
        group.ids[0] ? el("a", { href: state.link({ key: group.ids[0], find: "" }), "data-state": true, "data-focus": `d-${group.key}` }, "journey") : ""])));
  });
}
