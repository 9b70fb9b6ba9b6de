// Refreshes the parts of a page that are marked data-live, without scrolling and without moving the focus.
"use strict";

const SECONDS = 5;
const pause = document.getElementById("pause");
const shown = new WeakMap();
let paused = false;
let down = false;

function inUse(part) {
  const selection = document.getSelection();
  const selected = !selection.isCollapsed && part.contains(selection.anchorNode);
  return part.contains(document.activeElement) || selected || part.querySelector(".plot:hover") !== null;
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

function remember(root) {
  // What the server sent, before scripts draw into it.
  for (const part of root.querySelectorAll("[data-live]")) shown.set(part, part.innerHTML);
}

function announce(part) {
  part.dispatchEvent(new Event("refreshed", { bubbles: true }));
}

function replacePart(part, fresh) {
  // By their keys: counts in their summaries change.
  const open = new Set([...part.querySelectorAll("details[open]")].map((details) => details.dataset.key));
  part.innerHTML = fresh.innerHTML;
  for (const details of part.querySelectorAll("details")) details.open = open.has(details.dataset.key);
  shown.set(part, fresh.innerHTML);
  announce(part);
}

function update(next) {
  const main = document.querySelector("main");
  // A server went down or came back up, which replaces the whole content: data-whole marks the page for an outage.
  const changed = Boolean(main.querySelector("[data-whole]")) !== Boolean(next.querySelector("main [data-whole]"));
  if (changed) {
    const fresh = next.querySelector("main");
    main.replaceWith(fresh);
    remember(fresh);
    announce(fresh);
  }
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = next.getElementById(part.id);
    if (fresh && fresh.innerHTML !== shown.get(part) && !inUse(part)) replacePart(part, fresh);
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

remember(document);
if (pause) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Resume" : "Pause";
    document.body.classList.toggle("paused", paused);
  });
}
setTimeout(refresh, SECONDS * 1000);
