// Contracts: what is promised, and who reads which field.

import { ask, count, el, show, table } from "./parts.js";
import * as state from "./state.js";

const about = document.getElementById("contracts-about");
const body = document.getElementById("contracts-body");
let answer = null;

export async function refresh() {
  answer = await ask("answers/contracts");
  draw();
}

export function draw() {
  if (!answer) return;
  const chosen = state.get("contract");
  about.textContent = answer.problem ? "" : `${count(answer.contracts.length)} versions`;
  show(body, [answer, chosen], () => {
    if (answer.problem) return el("p", {}, answer.problem);
    const readers = (names) => (names.length ? names.join(", ") : answer.services ? "nobody" : "unknown: give --service");
    const strange = answer.strange.length ? el("p", { class: "strange" }, `▲ sent, and in no contract: ${answer.strange.join(", ")}`) : null;
    return [strange, el("ul", { class: "contracts" }, answer.contracts.map((each) => {
      const key = `${each.topic}/${each.type}/${each.version}`;
      return el("li", {}, el("details", { open: key === chosen, on: { toggle: (event) => event.target.open !== (key === state.get("contract")) && state.set({ contract: event.target.open ? key : "" }, { replace: true }) } },
        el("summary", { "data-focus": key }, `${each.topic} ${each.type} v${each.version}${each.deprecated ? " (deprecated)" : ""}`, el("small", {}, ` by ${each.owner}; read by ${readers(each.readers)}${each.share == null ? "" : `; ${Math.round(each.share * 100)} % of what was told lately`}`)),
        table(`Fields of ${each.type}`, ["field", "read by"], each.fields.map((field) => [field.name, readers(field.readers)]))));
    }))].filter(Boolean);
  });
}
