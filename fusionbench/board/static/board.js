"use strict";
// Sorting and switching columns. The page is complete without this script.
(() => {
  const value = (row, index) => {
    const cell = row.cells[index];
    return cell === undefined ? undefined : cell.dataset.value;
  };

  // Column index of a head cell in the body rows, which have neither rowspan nor colspan.
  const columnOf = (table) => {
    const heads = [];
    const [first, second] = table.tHead.rows;
    let lower = 0;
    for (const head of first.cells) {
      if (head.rowSpan > 1 || !second) heads.push(head);
      else for (let n = 0; n < head.colSpan; n += 1) heads.push(second.cells[lower++]);
    }
    return heads;
  };

  const sortBy = (table, heads, index, direction) => {
    const text = heads[index].dataset.sort === "text";
    const sign = direction === "ascending" ? 1 : -1;
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => row.classList.contains("row"));
      const keyed = rows.map((row, place) => ({ row, place, key: value(row, index) }));
      keyed.sort((a, b) => {
        if (a.key === undefined || b.key === undefined) {
          return (a.key === undefined) - (b.key === undefined) || a.place - b.place; // no value: always last
        }
        const order = text ? a.key.localeCompare(b.key) : a.key - b.key;
        return sign * order || a.place - b.place;
      });
      body.append(...keyed.map((entry) => entry.row));
    }
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[index].setAttribute("aria-sort", direction);
  };

  for (const table of document.querySelectorAll("table.board")) {
    const heads = columnOf(table);
    heads.forEach((head, index) => {
      const kind = head.dataset.sort;
      if (!kind || kind === "none") return;
      const best = kind === "higher" ? "descending" : "ascending"; // the first click puts the best on top
      const other = best === "ascending" ? "descending" : "ascending";
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        sortBy(table, heads, index, head.getAttribute("aria-sort") === best ? other : best);
      });
    });
  }

  const switches = document.querySelector(".switches");
  if (switches) {
    switches.hidden = false;
    switches.addEventListener("change", (event) => {
      const { group } = event.target.dataset;
      for (const cell of document.querySelectorAll("[data-of]")) {
        if (cell.dataset.of === group) cell.classList.toggle("off", !event.target.checked);
      }
    });
  }
})();
