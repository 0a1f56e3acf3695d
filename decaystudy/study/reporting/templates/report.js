"use strict";
// Numbers as this page writes them: a true minus, thousands, units. Null for what is no number.
const UNITS = { k: 1e3, M: 1e6, B: 1e9, T: 1e12, s: 1, min: 60, h: 3600, d: 86400 };
function numberOf(text) {
  const plain = text.replace(/−/g, "-").replace(/(\d),(?=\d{3})/g, "$1");
  const found = plain.match(/^[±+]?(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?:\s([A-Za-z]+))?/);
  return found ? parseFloat(found[1]) * (UNITS[found[2]] || 1) : null;
}
// Order of two fields; those that hold nothing come last in both directions.
function compared(a, b, numeric, direction) {
  const none = (text) => text === "" || text === "–" || (numeric && numberOf(text) === null);
  if (none(a) || none(b)) return none(a) - none(b);
  return direction * (numeric ? numberOf(a) - numberOf(b) : a.localeCompare(b, undefined, { numeric: true }));
}
function sortTable(table, column) {
  const heads = [...table.tHead.rows[0].cells], head = heads[column];
  const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  heads.forEach((one) => one.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
  const text = (row) => row.cells[column].textContent.trim();
  const rows = [...table.tBodies[0].rows].sort((a, b) => compared(text(a), text(b), !head.classList.contains("text"), direction));
  table.tBodies[0].append(...rows);
}
if (typeof document !== "undefined") {
  document.querySelectorAll("table").forEach((table) => {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.title = "sort by this column";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sortTable(table, column));
    });
  });
}
