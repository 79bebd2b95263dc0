"use strict";
(() => {
  const table = document.getElementById("tensor-table");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row, place) => ({
    row, place, key: row.cells[0].querySelector("summary").textContent.toLowerCase(),
  }));
  const form = document.getElementById("filter");
  const input = document.getElementById("filter-text");
  const status = document.getElementById("filter-status");
  const clear = document.getElementById("filter-clear");
  let cell = null;

  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { row, key } of rows) {
      const inCell = !cell || (row.dataset.block === cell.block && (!cell.role || row.dataset.role === cell.role));
      row.hidden = !(inCell && words.every((word) => key.includes(word)));
      shown += row.hidden ? 0 : 1;
    }
    const where = cell ? ` in ${cell.block}${cell.role ? `, ${cell.role}` : ""}` : "";
    status.textContent = `${shown} of ${rows.length} tensors${where}`;
    clear.hidden = !cell && !words.length;
  };

  const value = (row, column) => {
    const found = row.cells[column];
    return found.dataset.v === undefined ? found.textContent.trim() : Number(found.dataset.v);
  };
  const isEmpty = (item) => item === "" || Number.isNaN(item);
  const compare = (left, right) =>
    typeof left === typeof right
      ? left < right ? -1 : left > right ? 1 : 0
      : typeof left === "number" ? -1 : 1;

  const sort = (header, column) => {
    const down = header.getAttribute("aria-sort") !== "descending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = rows.map((item) => ({ item, at: value(item.row, column) }));
    keyed.sort((a, b) =>
      isEmpty(a.at) || isEmpty(b.at)
        ? isEmpty(a.at) - isEmpty(b.at) || a.item.place - b.item.place
        : (down ? -1 : 1) * compare(a.at, b.at) || a.item.place - b.item.place);
    body.append(...keyed.map(({ item }) => item.row));
  };

  Array.from(table.tHead.rows[0].cells).forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    button.addEventListener("click", () => sort(header, column));
    header.replaceChildren(button);
  });

  for (const link of document.querySelectorAll("a[data-block]")) {
    link.addEventListener("click", () => {
      cell = { block: link.dataset.block, role: link.dataset.role || "" };
      show();
    });
  }
  input.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  clear.addEventListener("click", () => { cell = null; input.value = ""; show(); });
  const open = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    const details = target && target.querySelector("details");
    if (details) details.open = true;
  };
  addEventListener("hashchange", open);
  form.hidden = false;
  show();
  open();
})();
