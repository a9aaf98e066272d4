"use strict";
// Sorting, filters, permalinks, comparison. The page is complete without this script.
// State lives in the address after '#', so that a view can be linked to: #sort=KEY:ascending&q=vae&compare=A,B
(() => {
  const table = document.querySelector("table.board[data-board]");
  if (!table) return;
  const rows = () => [...table.querySelectorAll("tr.row")];

  const state = { sort: "", q: "", show: "", compare: "", score: "" };
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    if (Object.hasOwn(state, key)) state[key] = value;
  }
  const remember = () => {
    const parts = Object.entries(state).filter(([, value]) => value);
    const hash = parts.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
  };

  // --- sorting -----------------------------------------------------------------------------------------------
  // Head cells by column of the body, whose rows have neither rowspan nor colspan.
  const heads = [];
  {
    const [first, second] = table.tHead.rows;
    let lower = 0;
    for (const head of first.cells) {
      if (head.rowSpan > 1) heads.push(head);
      else for (let n = 0; n < head.colSpan; n += 1) heads.push(second.cells[lower++]);
    }
  }
  const sortBy = (index, direction) => {
    const text = heads[index].dataset.sort === "text";
    const sign = direction === "ascending" ? 1 : -1;
    for (const body of table.tBodies) {
      const keyed = [...body.rows]
        .filter((row) => row.classList.contains("row"))
        .map((row, place) => ({ row, place, key: row.cells[index]?.dataset.value }));
      keyed.sort((a, b) => {
        if (a.key === undefined || b.key === undefined) {
          return (a.key === undefined) - (b.key === undefined) || a.place - b.place; // no value: always last
        }
        return sign * (text ? a.key.localeCompare(b.key) : a.key - b.key) || a.place - b.place;
      });
      body.append(...keyed.map((entry) => entry.row));
    }
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[index].setAttribute("aria-sort", direction);
    state.sort = `${heads[index].dataset.key}:${direction}`;
  };
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
      sortBy(index, head.getAttribute("aria-sort") === best ? other : best);
      remember();
    });
  });

  // --- search and columns --------------------------------------------------------------------------------------
  const tools = document.querySelector(".tools");
  const search = tools.querySelector("input[type=search]");
  const applySearch = () => {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows()) {
      const text = row.cells[0].textContent.toLowerCase();
      const keep = row.classList.contains("trivial") || words.every((word) => text.includes(word));
      row.hidden = !keep;
      shown += keep;
    }
    tools.querySelector("output").textContent = words.length ? `${shown} rows (trivial rows always stay)` : "";
  };
  search.addEventListener("input", () => {
    state.q = search.value.trim();
    applySearch();
    remember();
  });
  const boxes = [...tools.querySelectorAll("input[data-group]")];
  const applyColumns = () => {
    for (const box of boxes) {
      for (const cell of table.querySelectorAll(`[data-of="${CSS.escape(box.dataset.group)}"]`)) {
        cell.classList.toggle("off", !box.checked);
      }
    }
  };
  for (const box of boxes) {
    box.addEventListener("change", () => {
      state.show = boxes.filter((each) => each.checked).map((each) => each.dataset.group).join(",");
      applyColumns();
      remember();
    });
  }

  // --- comparison: paired, image by image ------------------------------------------------------------------------
  const panel = document.querySelector(".compare");
  const SVG = "http://www.w3.org/2000/svg";
  const draw = (name, attributes, parent, text) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  };
  const make = (name, parent, text, className) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    parent.append(element);
    return element;
  };
  const digits = (value) => Number(value.toPrecision(3)).toString();

  let values; // {ids, scores: {key: {better, unit, rows: {slug: [...]}}}}, loaded when it is first needed
  const load = () => new Promise((resolve, reject) => {
    if (values) { resolve(); return; }
    window.fusionbenchValues = (data) => { values = data; };
    const script = document.createElement("script");
    script.src = panel.dataset.values;
    script.onload = () => resolve();
    script.onerror = reject;
    document.head.append(script);
  });

  const difference = (a, b) => {
    const gaps = a.map((value, i) => b[i] - value);
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const spread = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / Math.max(1, gaps.length - 1));
    const half = (1.96 * spread) / Math.sqrt(gaps.length);
    return { gaps, mean, low: mean - half, high: mean + half };
  };

  const scatter = (parent, a, b, names, score) => {
    const size = 360, edge = 64;
    const svg = draw("svg", { viewBox: `0 0 ${size} ${size}`, class: "scatter", role: "img" }, parent);
    svg.setAttribute("aria-label", `${names[1]} against ${names[0]}, one point an image`);
    const low = Math.min(...a, ...b), high = Math.max(...a, ...b), span = high - low || 1;
    const at = (value) => edge + ((value - low) / span) * (size - edge - 12);
    draw("line", { x1: at(low), y1: size - at(low), x2: at(high), y2: size - at(high), class: "even" }, svg);
    draw("path", { d: `M${edge} 12V${size - edge}H${size - 12}`, class: "axis" }, svg);
    for (const value of [low, (low + high) / 2, high]) {
      const anchor = value === high ? "end" : "middle";
      draw("text", { x: at(value), y: size - edge + 16, class: "tick", "text-anchor": anchor }, svg, digits(value));
      draw("text", { x: edge - 6, y: size - at(value) + 4, class: "tick", "text-anchor": "end" }, svg, digits(value));
    }
    draw("text", { x: size / 2 + 20, y: size - 24, class: "label", "text-anchor": "middle" }, svg, names[0]);
    const up = { x: 12, y: size / 2 - 20, class: "label", "text-anchor": "middle" };
    draw("text", { ...up, transform: `rotate(-90 12 ${size / 2 - 20})` }, svg, names[1]);
    a.forEach((value, i) => {
      const point = draw("circle", { cx: at(value), cy: size - at(b[i]), r: 2.6, class: "point" }, svg);
      draw("title", {}, point, `image ${values.ids[i]}: ${digits(value)} and ${digits(b[i])} ${score.unit}`);
    });
  };

  const forest = (parent, found, names, better) => {
    const width = 560, line = 26, left = 170, height = line * found.length + 40;
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, class: "forest", role: "img" }, parent);
    svg.setAttribute("aria-label", `differences to ${names[0]} with 95 % intervals`);
    const most = Math.max(...found.flatMap((row) => [Math.abs(row.low), Math.abs(row.high)])) || 1;
    const at = (value) => left + ((value + most) / (2 * most)) * (width - left - 20);
    draw("line", { x1: at(0), y1: 4, x2: at(0), y2: height - 24, class: "even" }, svg);
    found.forEach((row, i) => {
      const y = 16 + i * line;
      const good = better === "lower" ? row.high < 0 : row.low > 0;
      const bad = better === "lower" ? row.low > 0 : row.high < 0;
      const kind = good ? "good" : bad ? "bad" : "unsure";
      draw("text", { x: left - 10, y: y + 4, class: "label", "text-anchor": "end" }, svg, names[i + 1]);
      draw("line", { x1: at(row.low), y1: y, x2: at(row.high), y2: y, class: `range ${kind}` }, svg);
      const dot = draw("circle", { cx: at(row.mean), cy: y, r: 4.5, class: `dot ${kind}` }, svg);
      draw("title", {}, dot, `${digits(row.mean)}, 95 %: ${digits(row.low)} to ${digits(row.high)}`);
    });
    for (const value of [-most, 0, most]) {
      const anchor = value < 0 ? "start" : value > 0 ? "end" : "middle";
      draw("text", { x: at(value), y: height - 8, class: "tick", "text-anchor": anchor }, svg, digits(value));
    }
  };

  const compare = async () => {
    const known = new Set(rows().filter((row) => row.dataset.values).map((row) => row.id));
    const wanted = state.compare.split(",").filter((slug) => known.has(slug)).slice(0, 4);
    for (const row of rows()) {
      const box = row.querySelector("input[data-pick]");
      if (box) box.checked = wanted.includes(row.id);
    }
    panel.hidden = wanted.length < 2;
    if (panel.hidden) return;
    const body = panel.querySelector(".body");
    try {
      await load();
    } catch {
      body.textContent = "The values of single images could not be loaded; they lie beside this page in data/.";
      return;
    }
    const choice = panel.querySelector("select");
    if (!choice.options.length) {
      for (const key of Object.keys(values.scores)) choice.add(new Option(key, key));
    }
    const usable = Object.keys(values.scores).filter((key) => wanted.every((slug) => values.scores[key].rows[slug]));
    if (!usable.includes(state.score)) [state.score] = usable;
    for (const option of choice.options) option.disabled = !usable.includes(option.value);
    body.replaceChildren();
    if (!usable.length) {
      body.textContent = "These models have no score in common that is known image by image.";
      return;
    }
    choice.value = state.score;
    const score = values.scores[state.score];
    const names = wanted.map((slug) => document.getElementById(slug).cells[0].dataset.value);
    const [first, ...others] = wanted.map((slug) => score.rows[slug]);
    const found = others.map((other) => difference(first, other));
    make("h3", body, `Mean difference to ${names[0]}, image by image (${score.better} is better)`);
    forest(body, found, names, score.better);
    const pairs = make("div", body, undefined, "pairs");
    others.forEach((other, i) => {
      const cell = make("div", pairs);
      make("h3", cell, `${names[i + 1]} against ${names[0]}`);
      scatter(cell, first, other, [names[0], names[i + 1]], score);
      const order = found[i].gaps.map((gap, j) => [Math.abs(gap), j]).sort((x, y) => y[0] - x[0]).slice(0, 20);
      const details = make("details", cell);
      make("summary", details, "The 20 images where they disagree most");
      const list = make("ol", details);
      for (const [, j] of order) {
        make("li", list, `image ${values.ids[j]}: ${digits(first[j])} and ${digits(other[j])}`);
      }
    });
  };

  if (panel) {
    for (const row of rows()) {
      if (!row.dataset.values) continue;
      const box = make("input", row.cells[0]);
      box.type = "checkbox";
      box.dataset.pick = row.id;
      box.setAttribute("aria-label", `compare ${row.cells[0].dataset.value}`);
      row.cells[0].prepend(box);
      box.addEventListener("change", () => {
        const picked = state.compare.split(",").filter((slug) => slug && slug !== row.id);
        if (box.checked) picked.push(row.id);
        state.compare = picked.slice(-4).join(",");
        compare();
        remember();
      });
    }
    panel.querySelector("select").addEventListener("change", (event) => {
      state.score = event.target.value;
      compare();
      remember();
    });
    panel.querySelector("button").addEventListener("click", () => {
      state.compare = "";
      compare();
      remember();
    });
  }

  // --- the view that the address asks for ------------------------------------------------------------------------
  tools.hidden = false;
  search.value = state.q;
  applySearch();
  if (state.show) for (const box of boxes) box.checked = state.show.split(",").includes(box.dataset.group);
  applyColumns();
  const cut = state.sort.lastIndexOf(":");
  const index = heads.findIndex((head) => head.dataset.key === state.sort.slice(0, cut));
  if (cut > 0 && index >= 0) sortBy(index, state.sort.slice(cut + 1) === "descending" ? "descending" : "ascending");
  if (panel && state.compare) compare();
  document.documentElement.dataset.ready = "yes";
})();
