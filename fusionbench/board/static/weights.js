"use strict";
// What matters to whom: the reader weighs the metrics and sees the order that follows, and how often each model would
// lead under other weights. Loaded when its panel is opened.
(() => {
  const { state, heads, rows, name, number, remember } = window.fusionbenchBoard;
  const panel = document.querySelector(".weights");
  const DRAWS = 1000;
  const make = (tag, parent, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    parent.append(element);
    return element;
  };

  const metrics = panel.dataset.metrics.split(" ").map((metric) => {
    const place = heads.findIndex((head) => head.dataset.of === metric && head.classList.contains("k"));
    const title = heads[place].querySelector("span").firstChild.nodeValue.trim();
    return { metric, place, title, better: heads[place].dataset.sort };
  });
  const known = new Map(state.weights.split(",").map((part) => part.split(":")));
  const read = (metric) => Math.min(4, Math.max(0, Math.round(Number(known.get(metric) ?? 1)) || 0));
  const weights = metrics.map(({ metric }) => read(metric));

  const ranked = rows().filter((row) => row.closest("tbody").matches(".ranked") && !row.matches(".published, .bound"));
  const entered = ranked.map((row) => ({ row, values: metrics.map(({ place }) => number(row.cells[place])) }));
  // Ranks of the values as printed; equal ones share the mean of their places.
  const ranksOf = (entries, m) => {
    const sign = metrics[m].better === "higher" ? -1 : 1;
    const values = entries.map((entry) => sign * entry.values[m]);
    return values.map((value) => {
      const below = values.filter((other) => other < value).length;
      return below + (values.filter((other) => other === value).length + 1) / 2;
    });
  };
  const random = (seed) => () => { // mulberry32: the same draws for every reader
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };

  const sliders = make("div", panel.querySelector(".body"), undefined, "sliders");
  const note = make("p", panel.querySelector(".body"), undefined, "muted");
  const place = make("div", panel.querySelector(".body"), undefined, "scroll");
  place.tabIndex = 0;
  place.setAttribute("role", "region");
  place.setAttribute("aria-label", "Order under these weights");

  const show = () => {
    const used = metrics.map((_, m) => m).filter((m) => weights[m] > 0);
    place.replaceChildren();
    place.hidden = !used.length;
    if (!used.length) {
      note.textContent = "Give at least one metric a weight.";
      return;
    }
    const entries = entered.filter((entry) => used.every((m) => !Number.isNaN(entry.values[m])));
    const ranks = used.map((m) => ranksOf(entries, m));
    const mean = (weigh) => {
      const total = used.reduce((sum, _, i) => sum + weigh[i], 0);
      return entries.map((_, e) => used.reduce((sum, _u, i) => sum + weigh[i] * ranks[i][e], 0) / total);
    };
    const mine = mean(used.map((m) => weights[m]));
    const alike = mean(used.map(() => 1));
    const placeIn = (list, e) => 1 + list.filter((value) => value < list[e] - 1e-9).length;
    const leads = entries.map(() => 0);
    const draw = random(1);
    for (let n = 0; n < DRAWS; n += 1) { // weights drawn evenly from all that sum to one
      const found = mean(used.map(() => -Math.log(1 - draw())));
      leads[found.indexOf(Math.min(...found))] += 1;
    }
    const left = ranked.length - entries.length;
    note.textContent = `Mean of the ranks of ${entries.length} rows, weighed as above`
      + (left ? `; ${left} without one of these metrics left out` : "")
      + `. The last column: of ${DRAWS.toLocaleString("en")} random weightings of these metrics, how many put the row first.`
      + " An opinion about metrics, not a measurement: it has no interval.";
    const list = make("table", place, undefined, "board");
    const head = make("tr", make("thead", list));
    for (const title of ["Model", "place", "weighed mean rank", "place, all alike", "leads"]) make("th", head, title).scope = "col";
    head.cells[0].className = "name";
    const body = make("tbody", list);
    const order = entries.map((_, e) => e).sort((a, b) => mine[a] - mine[b] || a - b);
    for (const e of order) {
      const line = make("tr", body, undefined, entries[e].row.className.match(/trivial/)?.[0]);
      make("th", line, name(entries[e].row)).scope = "row";
      const [now, before] = [placeIn(mine, e), placeIn(alike, e)];
      make("td", line, String(now));
      make("td", line, mine[e].toFixed(2));
      make("td", line, now === before ? String(before) : `${before} ${now < before ? "▲" : "▼"}`);
      make("td", line, leads[e] ? `${((100 * leads[e]) / DRAWS).toFixed(leads[e] < 10 ? 1 : 0)} %` : "never");
    }
  };

  const inputs = metrics.map(({ metric, title }, m) => {
    const label = make("label", sliders, `${title} `);
    const input = make("input", label);
    Object.assign(input, { type: "range", min: 0, max: 4, step: 1, value: weights[m] });
    input.setAttribute("aria-label", `weight of ${title}`);
    const said = make("output", label, String(weights[m]));
    input.addEventListener("input", () => {
      weights[m] = Number(input.value);
      said.textContent = input.value;
      state.weights = metrics.map((one, i) => `${one.metric}:${weights[i]}`).join(",");
      show();
      remember();
    });
    input.dataset.metric = metric;
    return { input, said };
  });
  const reset = make("button", sliders, "All alike");
  reset.type = "button";
  reset.addEventListener("click", () => {
    inputs.forEach(({ input, said }, m) => { weights[m] = 1; input.value = 1; said.textContent = "1"; });
    state.weights = metrics.map(({ metric }) => `${metric}:1`).join(",");
    show();
    remember();
  });
  show();
})();
