"use strict";
// What the cells of the heat map show, and on narrow screens the family: every value is made by the page's builder.
(() => {
  const panel = document.querySelector(".damage"), table = panel.querySelector(".heatmap");
  const view = panel.querySelector("[data-view]"), family = panel.querySelector("[data-family]");
  let loading, data;
  window.fusionbenchData = (found) => { data = found; };
  const load = () => {
    loading ??= new Promise((resolve, reject) => {
      const element = document.createElement("script");
      Object.assign(element, { src: panel.dataset.from, onload: resolve, onerror: () => reject(new Error(panel.dataset.from)) });
      document.head.append(element);
    });
    return loading;
  };
  const fill = async () => {
    const said = panel.querySelector(".said");
    try {
      await load();
    } catch {
      loading = undefined;
      said.textContent = `${panel.dataset.from} is missing: copy the whole folder of the board`;
      return;
    }
    said.textContent = data.views[view.value];
    for (const row of table.querySelectorAll("[data-row]")) {
      const cells = data.cells[view.value][row.dataset.row];
      row.querySelectorAll("td[data-of]").forEach((cell, place) => {
        const [text, level] = cells[place].split("|");
        cell.textContent = text;
        cell.className = [level, cell.classList.contains("f") && "f", cell.classList.contains("on") && "on"].filter(Boolean).join(" ");
      });
    }
  };
  const choose = () => {
    table.classList.add("chosen");
    for (const cell of table.querySelectorAll("[data-of]")) cell.classList.toggle("on", cell.dataset.of === family.value);
  };
  view.addEventListener("change", fill);
  family.addEventListener("change", choose);
  panel.querySelector(".tools").hidden = false;
  choose();
  if (view.value !== view.options[0].value) fill(); // a browser may remember what was chosen
})();
