// Sorts tables by a column, and moves through a heat map with the arrow keys.
"use strict";

function sortKey(cell) {
  const text = cell.dataset.value ?? cell.textContent.trim();
  const number = Number(text);
  return text === "" ? null : Number.isNaN(number) ? text : number;
}

function compare(a, b) {
  // Cells without a value come last, in either direction.
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en");
}

function sortBy(table, column, descending) {
  const rows = [...table.tBodies[0].rows].filter((row) => row.cells.length > column);
  const keyed = rows.map((row) => [sortKey(row.cells[column]), row]);
  const present = keyed.filter(([key]) => key !== null).sort(([a], [b]) => (descending ? compare(b, a) : compare(a, b)));
  const absent = keyed.filter(([key]) => key === null);
  table.tBodies[0].append(...[...present, ...absent].map(([, row]) => row));
}

// Makes a table's headers buttons that sort it.
function sortable(table) {
  const headers = [...table.tHead.rows[0].cells];
  for (const [column, header] of headers.entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.textContent = header.textContent;
    button.addEventListener("click", () => {
      // Numbers are sorted from the largest, names from A.
      const first = header.classList.contains("number") ? "descending" : "ascending";
      const second = first === "descending" ? "ascending" : "descending";
      const order = header.getAttribute("aria-sort") === first ? second : first;
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", order);
      sortBy(table, column, order === "descending");
    });
    header.replaceChildren(button);
  }
}

// A heat map has a link per day: only one of them is in the order of the tab key, the arrow keys lead to the others.
function roving(table) {
  const links = [...table.querySelectorAll("a")];
  for (const link of links) link.tabIndex = -1;
  const start = links.find((link) => link.ariaCurrent) ?? links[0];
  if (start) start.tabIndex = 0;
}

function nextInColumn(link, direction) {
  const cell = link.closest("td");
  let row = cell.parentElement;
  while ((row = direction > 0 ? row.nextElementSibling : row.previousElementSibling)) {
    const found = row.cells[cell.cellIndex]?.querySelector("a");
    if (found) return found;
  }
  return null;
}

document.addEventListener("keydown", (event) => {
  const link = event.target.closest?.("table.heat a");
  if (!link) return;
  const links = [...link.closest("table").querySelectorAll("a")];
  const index = links.indexOf(link);
  const moves = {
    ArrowLeft: () => links[index - 1],
    ArrowRight: () => links[index + 1],
    ArrowUp: () => nextInColumn(link, -1),
    ArrowDown: () => nextInColumn(link, 1),
    Home: () => links[0],
    End: () => links.at(-1),
  };
  const target = moves[event.key]?.();
  if (!(event.key in moves)) return;
  event.preventDefault();
  if (!target) return;
  link.tabIndex = -1;
  target.tabIndex = 0;
  target.focus();
});

function prepare(root) {
  root.querySelectorAll("table.sortable").forEach(sortable);
  root.querySelectorAll("table.heat").forEach(roving);
}

prepare(document);
// A part that was refreshed has the tables that the server sent.
document.addEventListener("refreshed", (event) => prepare(event.target));
