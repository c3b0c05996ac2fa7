// State: all of it lies in the address, so that what is seen can be sent to somebody.

const NAMES = ["at", "key", "find", "paused", "internal", "contract"];
const followers = [];

export function get(name) {
  return new URLSearchParams(location.search).get(name) ?? "";
}

// Changes parts of the state; an empty value takes one away.
export function set(changes, { replace = false } = {}) {
  const query = new URLSearchParams();
  for (const name of NAMES) {
    const value = name in changes ? changes[name] : get(name);
    if (value) query.set(name, value);
  }
  const text = query.toString();
  history[replace ? "replaceState" : "pushState"](null, "", text ? `?${text}` : location.pathname);
  tell();
}

// Returns the address with these changes, for links.
export function link(changes) {
  const query = new URLSearchParams();
  for (const name of NAMES) {
    const value = name in changes ? changes[name] : get(name);
    if (value) query.set(name, value);
  }
  return `?${query}`;
}

export function follow(follower) {
  followers.push(follower);
}

function tell() {
  for (const follower of followers) follower();
}

addEventListener("popstate", tell);
// links within the page change the state without loading it again
addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[data-state]");
  if (!anchor || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  history.pushState(null, "", anchor.getAttribute("href"));
  tell();
});
