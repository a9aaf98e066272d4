"use strict";
// The interval of a cell as whiskers among those of its column, at the pointer, under a finger, or by the arrow keys.
(() => {
  const board = window.fusionbenchBoard;
  const { table, heads, data, folder, name } = board;
  const SVG = "http://www.w3.org/2000/svg";
  const draw = (tag, attributes, parent) => {
    const element = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.append(element);
    return element;
  };
  const make = (tag, parent, text, className) => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (className) element.className = className;
    parent.append(element);
  };
  const box = document.createElement("div");
  box.className = "whisker";
  box.id = "whisker";
  box.setAttribute("role", "tooltip");
  box.hidden = true;
  table.closest("main").append(box);
  let shown, told; // the cell that is shown, and what was loaded

  const hide = () => {
    shown?.removeAttribute("aria-describedby");
    shown = undefined;
    box.hidden = true;
  };
  const strip = (cell, place, bar, part) => {
    const width = 280, height = 46, edge = 10;
    const others = [...table.querySelectorAll(`tbody.${part} tr:not([hidden])`)].filter((row) => !row.matches(".bound"))
      .map((row) => told.bars[row.id]?.[place]).filter(Boolean);
    const bound = told.bars[told.lines[part]]?.[place]?.[0];
    const ends = [...others.map((other) => other[0]), bar[1], bar[2], bound ?? bar[0]];
    const low = Math.min(...ends), span = Math.max(...ends) - low || 1;
    const at = (value) => edge + ((value - low) / span) * (width - 2 * edge);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, box);
    draw("path", { d: `M${edge} 34H${width - edge}`, class: "axis" }, svg);
    for (const other of others) draw("path", { d: `M${at(other[0])} 28V40`, class: "other" }, svg);
    if (bound !== undefined) {
      draw("path", { d: `M${at(bound)} 2V${height - 2}`, class: "bound" }, svg);
    }
    draw("path", { d: `M${at(bar[1])} 14H${at(bar[2])}M${at(bar[1])} 9V19M${at(bar[2])} 9V19`, class: "own" }, svg);
    draw("circle", { cx: at(bar[0]), cy: 14, r: 4.5 }, svg);
    const better = heads[cell.cellIndex].dataset.sort;
    const key = [better === "higher" ? "better →" : better === "lower" ? "← better" : "", "┃ the other rows"];
    if (bound !== undefined) key.push("┊ line of copying");
    make("small", box, key.filter(Boolean).join("   "));
  };
  const show = (cell) => {
    const row = cell.parentElement, place = cell.cellIndex - 1;
    const note = told.notes[row.id]?.[place] || cell.title;
    if (!note) return hide();
    if (shown === cell) return;
    hide();
    shown = cell;
    box.replaceChildren();
    make("b", box, `${name(row)}: ${heads[cell.cellIndex].querySelector("span").firstChild.nodeValue.trim()} ${cell.firstChild.textContent}`);
    const bar = told.bars[row.id]?.[place];
    if (bar) strip(cell, place, bar, row.closest("tbody").classList[0]);
    for (const part of note.split("; ")) make("span", box, part);
    box.hidden = false;
    cell.setAttribute("aria-describedby", "whisker");
    settle();
  };
  const settle = () => {
    if (!shown) return;
    const { left, bottom, top, width } = shown.getBoundingClientRect();
    const size = box.getBoundingClientRect();
    const room = document.documentElement.clientWidth;
    box.style.left = `${Math.max(8, Math.min(left + width / 2 - size.width / 2, room - size.width - 8))}px`;
    box.style.top = `${bottom + size.height + 8 < innerHeight ? bottom + 4 : Math.max(4, top - size.height - 4)}px`;
  };
  // One cell of the table takes part in the order of Tab; the arrow keys go on from there.
  const cells = (row) => [...row.cells].filter((cell) => cell.matches("td") && cell.getClientRects().length);
  const enter = (cell, focus = true) => {
    for (const old of table.querySelectorAll("td[tabindex='0']")) old.tabIndex = -1;
    cell.tabIndex = 0;
    if (focus) cell.focus();
  };
  const step = (cell, key) => {
    const row = cell.parentElement;
    const rows = [...table.querySelectorAll("tbody tr:not(.heading):not([hidden])")];
    const line = cells(row);
    const across = { ArrowLeft: -1, ArrowRight: 1 }[key], down = { ArrowUp: -1, ArrowDown: 1 }[key];
    return across ? line[line.indexOf(cell) + across] : rows[rows.indexOf(row) + down]?.cells[cell.cellIndex];
  };
  table.addEventListener("keydown", (event) => {
    if (!event.target.matches("td") || !/^Arrow/.test(event.key)) return;
    const next = step(event.target, event.key);
    event.preventDefault();
    if (next) enter(next);
  });
  table.addEventListener("focusin", (event) => (event.target.matches("td") ? show(event.target) : hide()));
  table.addEventListener("pointerover", (event) => {
    const cell = event.target.closest("td");
    if (cell) show(cell);
    else if (event.pointerType === "mouse") hide();
  });
  table.addEventListener("click", (event) => {
    const cell = event.target.closest("td");
    if (cell) enter(cell);
  });
  table.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && event.relatedTarget !== box && document.activeElement !== shown) hide();
  });
  addEventListener("pointerdown", (event) => { if (!event.target.closest?.("td, .whisker")) hide(); });
  addEventListener("scroll", settle, { capture: true, passive: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") setTimeout(hide); });

  board.whiskers = async (event) => {
    told = await data(`${folder}notes.js`).catch(() => ({ notes: {}, bars: {}, lines: {} }));
    const first = table.querySelector("tbody tr:not(.heading) td");
    if (first) enter(first.getClientRects().length ? first : cells(first.parentElement)[0] ?? first, false);
    const cell = event.target.closest?.("td");
    if (cell && (event.type === "focusin" || cell.matches(":hover") || event.pointerType !== "mouse")) show(cell);
  };
})();
