// Brings the parts of a page that are marked data-live up to date, without moving the reader or the focus.
"use strict";

const SECONDS = 5;
const pause = document.getElementById("pause");
let paused = false;
let missed = false;

function inUse(part) {
  const selection = document.getSelection();
  return part.contains(document.activeElement) || (!selection.isCollapsed && part.contains(selection.anchorNode));
}

function say(away) {
  if (away === missed) return;
  missed = away;
  document.getElementById("unreachable")?.remove();
  if (away) {
    const note = document.createElement("p");
    note.id = "unreachable";
    note.className = "fault";
    note.setAttribute("role", "alert");
    note.textContent = "The dashboard does not answer; what is shown is old. It goes on by itself.";
    document.getElementById("servers").after(note);
  }
}

function update(next) {
  const main = document.querySelector("main");
  // A page of another kind: a server has gone, or is back.
  const other = Boolean(main.querySelector("[data-whole]")) !== Boolean(next.querySelector("main [data-whole]"));
  if (other) main.replaceWith(next.querySelector("main"));
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = next.getElementById(part.id);
    if (fresh && fresh.innerHTML !== part.innerHTML && !inUse(part)) part.innerHTML = fresh.innerHTML;
  }
}

async function refresh() {
  if (!paused && !document.hidden) {
    try {
      const answer = await fetch(location.href, { signal: AbortSignal.timeout(20000) });
      update(new DOMParser().parseFromString(await answer.text(), "text/html"));
      say(false);
    } catch {
      say(true);
    }
  }
  setTimeout(refresh, SECONDS * 1000);
}

pause.hidden = false;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
});
setTimeout(refresh, SECONDS * 1000);
