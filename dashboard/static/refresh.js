// Refreshes the parts of a page that are marked data-live, without scrolling and without moving the focus.
"use strict";

const SECONDS = 5;
const pause = document.getElementById("pause");
let paused = false;
let down = false;

function inUse(part) {
  const selection = document.getSelection();
  return part.contains(document.activeElement) || (!selection.isCollapsed && part.contains(selection.anchorNode));
}

function showOutage(isDown) {
  if (isDown === down) return;
  down = isDown;
  document.getElementById("unreachable")?.remove();
  if (isDown) {
    const note = document.createElement("p");
    note.id = "unreachable";
    note.className = "fault";
    note.setAttribute("role", "alert");
    note.textContent = "The dashboard is down; the figures shown are out of date. Retrying automatically.";
    document.getElementById("servers").after(note);
  }
}

function update(next) {
  const main = document.querySelector("main");
  // A server went down or came back up, which replaces the whole content: data-whole marks the page for an outage.
  const changed = Boolean(main.querySelector("[data-whole]")) !== Boolean(next.querySelector("main [data-whole]"));
  if (changed) main.replaceWith(next.querySelector("main"));
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = next.getElementById(part.id);
    if (fresh && fresh.innerHTML !== part.innerHTML && !inUse(part)) part.innerHTML = fresh.innerHTML;
  }
}

async function refresh() {
  if (!paused && !document.hidden) {
    try {
      const response = await fetch(location.href, { signal: AbortSignal.timeout(20000) });
      update(new DOMParser().parseFromString(await response.text(), "text/html"));
      showOutage(false);
    } catch {
      showOutage(true);
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
