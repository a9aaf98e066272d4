"use strict";
// Sorting, filters, pins, permalinks; the comparison is loaded on demand. The page is complete without this script.
// State lives in the address after '#', so that a view can be linked to: #sort=KEY:ascending&q=vae&compare=A,B
(() => {
  const table = document.querySelector("table.board[data-board]");
  if (!table) { // a page that a head or a table leads to: what is asked for is opened
    const unfold = () => { const found = document.getElementById(location.hash.slice(1)); if (found?.open === false) found.open = true; };
    addEventListener("hashchange", unfold);
    unfold();
    return;
  }
  const rows = () => [...table.querySelectorAll("tbody tr:not(.heading)")];
  const name = (row) => row.cells[0].querySelector("a, span").textContent;

  const state = { sort: "", q: "", show: "", family: "", status: "", needs: "", has: "", runs: "", pin: "", compare: "", score: "", image: "", weights: "", more: "" };
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    if (Object.hasOwn(state, key)) state[key] = value;
  }
  // Addresses of older pages call the mean over inputs avg4.
  for (const key of ["sort", "score"]) state[key] = state[key].replace(/@avg4(?=:|$)/, "@mean");
  const remember = () => {
    const parts = Object.entries(state).filter(([, value]) => value);
    const hash = parts.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
  };

  // --- sorting -----------------------------------------------------------------------------------------------
  const heads = [...table.tHead.rows[0].cells];
  const headOf = (key) => heads.findIndex((head) => head.dataset.key === key);
  const column = (metric) => heads.findIndex((head) => head.dataset.of === metric && head.classList.contains("k"));
  // Addresses of older pages sort by a rank, whose column the metric's own has taken the place of.
  state.sort = state.sort.replace(/^rank-(.+):(ascending|descending)$/, (_, metric, direction) => {
    const head = heads[column(metric)];
    const best = head?.dataset.sort === "higher" ? "descending" : "ascending";
    const other = best === "ascending" ? "descending" : "ascending";
    return head ? `${head.dataset.key}:${direction === "ascending" ? best : other}` : "";
  });
  // The number of a cell, without the ranks beside it; a published one says where it stands.
  const number = (cell) => {
    const text = cell?.dataset.at ?? (cell?.querySelector("b, u") ?? cell)?.firstChild?.nodeValue ?? "";
    return parseFloat(text.replaceAll(",", ""));
  };
  // The line of copying is below the trivial rows, and among the models where they are sorted by a metric.
  const lines = [...table.querySelectorAll("tr.bound")].map((row) => ({ row, home: row.parentElement }));
  const sortBy = (index, direction) => {
    const text = heads[index].dataset.sort === "text";
    const sign = direction === "ascending" ? 1 : -1;
    const key = (row) => (text ? name(row) : number(row.cells[index]));
    for (const { row, home } of lines) {
      const models = home.previousElementSibling;
      const among = !text && models?.className === home.className.replace(" base", "") && !Number.isNaN(key(row));
      (among ? models : home).append(row);
    }
    for (const body of table.tBodies) {
      const keyed = rows().filter((row) => row.parentElement === body).map((row, place) => ({ row, place, key: key(row) }));
      const lacks = (entry) => Number.isNaN(entry.key);
      keyed.sort((a, b) => {
        const pinned = b.row.classList.contains("pinned") - a.row.classList.contains("pinned");
        if (pinned) return pinned;
        if (lacks(a) || lacks(b)) return lacks(a) - lacks(b) || a.place - b.place; // no value: always last
        return sign * (text ? a.key.localeCompare(b.key) : a.key - b.key) || a.place - b.place;
      });
      body.append(...keyed.map((entry) => entry.row));
    }
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[index].setAttribute("aria-sort", direction);
    state.sort = `${heads[index].dataset.key}:${direction}`;
  };
  // Columns of a large table that are folded away come last; their cells are in a file that is loaded once one is asked for.
  const late = Number(table.dataset.late ?? heads.length);
  let filled;
  const fill = () => filled ??= (async () => {
    const texts = await data(`${folder}late.js`);
    const classes = heads.slice(late).map((head) => head.className);
    for (const row of rows()) {
      (texts[row.id] ?? []).forEach((found, n) => {
        const [text, note] = [found].flat();
        const cell = row.insertCell();
        cell.className = classes[n];
        cell.textContent = text || "–";
        if (note) cell.title = note;
      });
    }
  })().catch(() => { filled = undefined; }); // the file is missing: asked for again at the next wish
  const filling = (index, action) => (index < late || late === heads.length ? action() : fill().then(action));
  heads.forEach((head, index) => {
    const kind = head.dataset.sort;
    if (!kind || kind === "none") return;
    const best = kind === "higher" ? "descending" : "ascending"; // the first click puts the best on top
    const other = best === "ascending" ? "descending" : "ascending";
    const button = document.createElement("button");
    button.type = "button";
    head.prepend(button);
    button.append(button.nextSibling.nodeType === 3 ? button.nextElementSibling : button.nextSibling);
    button.addEventListener("click", () => {
      filling(index, () => {
        sortBy(index, head.getAttribute("aria-sort") === best ? other : best);
        pick(index);
        remember();
      });
    });
  });

  // --- search and columns --------------------------------------------------------------------------------------
  const tools = document.querySelector(".tools");
  const search = tools.querySelector("input[type=search]");
  const filters = [...tools.querySelectorAll("select[data-filter]")];
  const passes = {
    family: (row, wanted) => (row.className.match(/trivial|classical/)?.[0] ?? "model") === wanted,
    status: (row, wanted) => (row.dataset.status ?? "verified") === wanted,
    needs: (row, wanted) => (row.dataset.needs ?? "training").split(" ").includes(wanted),
    has: (row, wanted) => !Number.isNaN(number(row.cells[column(wanted)])),
    runs: (row, wanted) => (wanted === "full" ? !row.closest(".cut") : Number(row.dataset.runs ?? 1) >= Number(wanted)),
  };
  const applySearch = () => {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const asked = filters.filter((filter) => filter.value);
    let shown = 0;
    for (const row of rows()) {
      const text = row.cells[0].textContent.toLowerCase();
      const found = words.every((word) => text.includes(word)) || row.classList.contains("trivial");
      const published = row.closest(".published, .bound");
      const keep = found && (published || asked.every((filter) => passes[filter.dataset.filter](row, filter.value)));
      row.hidden = !keep && !row.classList.contains("pinned");
      shown += !row.hidden;
    }
    for (const body of table.tBodies) {
      const heading = body.querySelector(".heading");
      if (heading) heading.hidden = !body.querySelector("tr:not(.heading):not([hidden])");
    }
    const kept = words.length ? " (trivial rows stay visible)" : "";
    tools.querySelector("output").textContent = words.length || asked.length ? `${shown} rows${kept}` : "";
  };
  for (const filter of filters) {
    if ([...filter.options].some((option) => option.value === state[filter.dataset.filter])) {
      filter.value = state[filter.dataset.filter];
    }
    filter.addEventListener("change", () => {
      state[filter.dataset.filter] = filter.value;
      applySearch();
      remember();
    });
  }

  // --- pins: rows that stay on top of their part of the table and are never filtered out -------------------------
  const applyPins = () => {
    const wanted = state.pin.split(",");
    for (const row of rows()) {
      const pinned = wanted.includes(row.id);
      row.classList.toggle("pinned", pinned);
      row.querySelector(".pin").setAttribute("aria-pressed", pinned);
    }
    for (const body of table.tBodies) {
      const pinned = [...body.querySelectorAll("tr.pinned")];
      const first = body.querySelector("tr:not(.heading):not(.pinned)");
      for (const row of pinned) body.insertBefore(row, first);
    }
  };
  for (const row of rows()) {
    const pin = document.createElement("button");
    pin.type = "button";
    pin.className = "pin";
    pin.textContent = "pin";
    pin.setAttribute("aria-label", `pin ${name(row)} to the top`);
    row.cells[0].querySelector("a, span").after(pin);
  }
  table.addEventListener("click", (event) => {
    const pin = event.target.closest(".pin");
    if (!pin) return;
    const { id } = pin.closest("tr");
    const others = state.pin.split(",").filter((slug) => slug && slug !== id);
    state.pin = (pin.getAttribute("aria-pressed") === "true" ? others : [...others, id]).join(",");
    applyPins();
    const sorted = state.sort.lastIndexOf(":");
    const index = headOf(state.sort.slice(0, sorted));
    if (index >= 0) sortBy(index, state.sort.slice(sorted + 1));
    applySearch();
    remember();
    pin.focus();
  });

  search.addEventListener("input", () => {
    state.q = search.value.trim();
    applySearch();
    remember();
  });
  const boxes = [...tools.querySelectorAll("input[data-group]")];
  const shown = new Map(boxes.map((box) => [box, box.checked])); // what the cells show now
  const applyColumns = () => {
    for (const box of boxes) {
      const metric = box.dataset.group;
      for (const cell of table.tHead.querySelectorAll(`[data-of="${CSS.escape(metric)}"]`)) {
        cell.classList.toggle("off", !box.checked);
      }
      const places = heads.flatMap((head, index) => (head.dataset.of === metric ? [index] : []));
      if (shown.get(box) === box.checked) continue;
      shown.set(box, box.checked);
      const toggle = () => { for (const row of rows()) for (const place of places) row.cells[place]?.classList.toggle("off", !box.checked); };
      if (box.checked) filling(Math.max(...places), toggle);
      else toggle();
    }
    const mean = boxes.find((box) => box.dataset.group === "mean-rank");
    tools.querySelector(".warning").hidden = !mean?.checked;
  };
  for (const box of boxes) {
    box.addEventListener("change", () => {
      state.show = boxes.filter((each) => each.checked).map((each) => each.dataset.group).join(",");
      applyColumns();
      remember();
    });
  }

  // --- on a phone one column at a time, chosen here or by what the table is sorted by --------------------------------
  const choice = tools.querySelector("select[data-metric]");
  const choices = heads.map((head, index) => index).filter((index) => heads[index].dataset.sort !== "text" && !heads[index].matches(".d, .c"));
  for (const index of choices) choice.add(new Option(heads[index].querySelector("span").firstChild.nodeValue.trim(), index));
  const phone = matchMedia("(max-width: 40rem)");
  phone.addEventListener("change", () => pick(Number(choice.value)));
  const pick = (index) => {
    if (!choices.includes(index)) return;
    choice.value = index;
    if (!phone.matches) return;
    for (const row of [table.tHead.rows[0], ...rows()]) {
      for (const cell of row.cells) if (cell.cellIndex) cell.classList.toggle("on", cell.cellIndex === index);
    }
  };
  choice.addEventListener("change", () => {
    const index = Number(choice.value);
    const kind = heads[index].dataset.sort;
    filling(index, () => {
      if (kind !== "none") sortBy(index, kind === "higher" ? "descending" : "ascending");
      pick(index);
      remember();
    });
  });

  // --- columns that are folded away: two boxes that work without this script, which keeps them in the address -------
  const folds = [...document.querySelectorAll(".switches input")];
  for (const fold of folds) {
    fold.closest("label").hidden = false;
    fold.checked ||= state.more.split(",").includes(fold.id);
    fold.addEventListener("change", () => {
      if (fold.id === "definitions" && fold.checked) filling(heads.length - 1, () => {});
      state.more = folds.filter((each) => each.checked).map((each) => each.id).join(",");
      remember();
    });
  }

  // --- data that is loaded when it is needed: scripts, since a page opened from a folder may not fetch ------------
  const shared = window.fusionbenchBoard = {}; // one object for all scripts: they keep it while others are loading
  const arrived = new Map();
  window.fusionbenchData = (found) => arrived.set(document.currentScript.getAttribute("src"), found);
  const scripts = new Map();
  const script = (source) => {
    if (!scripts.has(source)) {
      scripts.set(source, new Promise((resolve, reject) => {
        const element = document.createElement("script");
        element.src = source;
        element.onload = resolve;
        element.onerror = () => { scripts.delete(source); reject(new Error(source)); };
        document.head.append(element);
      }));
    }
    return scripts.get(source);
  };
  const data = async (source) => { await script(source); return arrived.get(source); };
  const folder = table.dataset.from;

  // Intervals of the cells, as whiskers on demand: at the first touch of the table.
  const whiskers = async (event) => {
    Object.assign(shared, { table, heads, data, folder, name });
    await script(table.dataset.whiskers).catch(() => {});
    shared.whiskers?.(event);
  };
  for (const kind of ["pointerover", "focusin"]) table.addEventListener(kind, whiskers, { once: true });

  // Copy buttons beside the downloads.
  const exports = document.querySelector(".exports");
  for (const place of exports?.querySelectorAll("span") ?? []) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "copy";
    button.setAttribute("aria-label", `copy as ${place.textContent}`);
    place.append(" ", button);
    button.addEventListener("click", async () => {
      const said = exports.querySelector("output");
      try {
        const texts = await data(`${folder}exports.js`);
        await navigator.clipboard.writeText(texts[place.querySelector("a").getAttribute("href")]);
        said.textContent = `${place.querySelector("a").textContent} copied`;
      } catch {
        said.textContent = "This browser does not let the page copy; use the file instead.";
      }
    });
  }

  // --- weights of the metrics: all of it is in weights.js ---------------------------------------------------------
  const weights = document.querySelector(".weights");
  weights?.addEventListener("toggle", async () => {
    if (!weights.open) return;
    Object.assign(shared, { state, table, heads, rows, name, number, remember });
    await script(weights.dataset.script).catch(() => {
      weights.querySelector(".body").textContent = "The script of this panel is missing: static/weights.js.";
    });
  });

  // --- comparison: the choice of models; the rest is in compare.js ------------------------------------------------
  const panel = document.querySelector(".compare");
  const picked = () => {
    const known = (slug) => slug && document.getElementById(slug)?.dataset.v !== undefined;
    return [...new Set(state.compare.split(","))].filter(known).slice(0, 4);
  };
  const compare = async () => {
    const wanted = picked();
    for (const box of table.querySelectorAll("input[data-pick]")) box.checked = wanted.includes(box.dataset.pick);
    panel.hidden = wanted.length < 2;
    document.body.classList.toggle("drawn", !panel.hidden);
    const hint = document.querySelector(".hint");
    if (hint) {
      const names = wanted.map((slug) => name(document.getElementById(slug)));
      hint.textContent = wanted.length === 1 ? `${names[0]} is ticked: tick another to compare them.` : panel.hidden
        ? "Tick two to four models to compare them image by image." : `Comparing ${names.join(", ")}.`;
    }
    if (panel.hidden) return;
    Object.assign(shared, { state, panel, folder, data, script, picked, name, remember });
    try {
      await script(panel.dataset.script);
    } catch {
      panel.querySelector(".body").textContent = "The script of the comparison is missing: static/compare.js.";
      return;
    }
    await shared.compare(wanted);
  };
  if (panel) {
    for (const row of rows()) {
      if (row.dataset.v === undefined) continue;
      const box = document.createElement("input");
      box.type = "checkbox";
      box.dataset.pick = row.id;
      box.setAttribute("aria-label", `compare ${name(row)}`);
      row.cells[0].prepend(box);
    }
    table.addEventListener("change", (event) => {
      const slug = event.target.dataset.pick;
      if (slug === undefined) return;
      const others = picked().filter((other) => other !== slug);
      if (event.target.checked) others.push(slug);
      state.compare = others.slice(-4).join(",");
      compare();
      remember();
    });
    panel.querySelector("select").addEventListener("change", (event) => {
      state.score = event.target.value;
      compare();
      remember();
    });
    const close = () => {
      const last = document.getElementById(picked().at(-1))?.querySelector("input[data-pick]");
      state.compare = state.image = "";
      compare();
      remember();
      last?.focus();
    };
    panel.querySelector("button").addEventListener("click", close);
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !panel.hidden && !document.querySelector(".whisker:not([hidden])")) close();
    });
  }

  // --- the view that the address asks for ------------------------------------------------------------------------
  tools.hidden = false;
  search.value = state.q;
  applyPins();
  applySearch();
  if (state.show) for (const box of boxes) box.checked = state.show.split(",").includes(box.dataset.group);
  applyColumns();
  const cut = state.sort.lastIndexOf(":");
  const index = headOf(state.sort.slice(0, cut));
  if (cut > 0 && index >= 0) {
    filling(index, () => {
      sortBy(index, state.sort.slice(cut + 1) === "descending" ? "descending" : "ascending");
      pick(index);
    });
    const fold = heads[index].matches(".d") ? "definitions" : heads[index].matches(".c") ? "costs" : "";
    for (const each of folds) each.checked ||= each.id === fold;
  }
  if (folds.some((fold) => fold.id === "definitions" && fold.checked)) filling(heads.length - 1, () => {});
  pick(choices.includes(index) ? index : choices.find((each) => !heads[each].matches(".off")) ?? choices[0]);
  if (panel) {
    document.querySelector(".hint").hidden = false;
    if (state.compare) compare();
  }
  if (weights) {
    weights.hidden = false;
    weights.open = Boolean(state.weights);
  }
  document.documentElement.dataset.ready = "yes";
})();
