"use strict";
// Comparison of two to four models, image by image. Loaded when it is first asked for.
(() => {
  const board = window.fusionbenchBoard;
  const { state, panel, folder, data, picked, name } = board;
  const values = { ids: [], scores: {} }; // scores: {key: {better, unit, rows: {slug: [...]}}}
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
  const SHOWN = 5; // images that are listed at once
  const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${digits(Math.abs(value))}`;
  const digits = (value) => Number(value.toPrecision(3)).toString();

  // The interval that results.bootstrap.Ranking describes, with the factors of the table: [images, training], both for
  // all pairs at once. Without factors (one image, rows that take no rank) there is no interval.
  const difference = (a, b, factors, seeds) => {
    const gaps = a.map((value, i) => b[i] - value);
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const spread = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / Math.max(1, gaps.length - 1));
    const half = factors && gaps.length > 1
      ? Math.hypot((factors[0] * spread) / Math.sqrt(gaps.length), factors[1] * Math.sqrt(seeds)) : NaN;
    return { gaps, mean, low: mean - half, high: mean + half };
  };

  const scatter = (parent, a, b, names, score, places) => {
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
    const unit = score.unit ? ` (${score.unit})` : "";
    draw("text", { x: size / 2 + 20, y: size - 24, class: "label", "text-anchor": "middle" }, svg, names[0] + unit);
    const up = { x: 12, y: size / 2 - 20, class: "label", "text-anchor": "middle" };
    draw("text", { ...up, transform: `rotate(-90 12 ${size / 2 - 20})` }, svg, names[1] + unit);
    a.forEach((value, i) => {
      const point = draw("circle", { cx: at(value), cy: size - at(b[i]), r: 2.6, class: "point" }, svg);
      if (board.explorer?.has(places[i])) {
        point.classList.add("known");
        point.addEventListener("click", () => board.explorer.show(places[i]));
      }
      draw("title", {}, point, `image ${values.ids[places[i]]}: ${digits(value)} and ${digits(b[i])} ${score.unit}`);
    });
  };

  const forest = (parent, found, names, { better, unit, title, least }) => {
    const width = Math.max(320, Math.min(560, parent.clientWidth || 560)); // never scaled down: texts stay readable
    const above = 6.6 * Math.max(...names.slice(1).map((one) => one.length)) > 0.31 * width - 10; // names go over lines
    const said = [`difference in ${title}${unit ? ` (${unit})` : ""}`, `${better === "lower" ? "left" : "right"} of 0 is better`];
    if (6.6 * said.join(": ").length < width) said.splice(0, 2, said.join(": "));
    const line = above ? 42 : 26, left = above ? 8 : 0.31 * width, foot = 42 + 16 * said.length;
    const height = line * found.length + foot;
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, class: "forest", role: "img" }, parent);
    svg.setAttribute("aria-label", `differences to ${names[0]} with 95 % intervals`);
    const ends = found.flatMap((row) => [row.mean, row.low, row.high]).filter((end) => !Number.isNaN(end));
    const most = Math.max(...ends.map(Math.abs)) || 1;
    const at = (value) => left + ((value + most) / (2 * most)) * (width - left - 20);
    draw("line", { x1: at(0), y1: 4, x2: at(0), y2: height - foot + 16, class: "even" }, svg);
    found.forEach((row, i) => {
      const y = line - 10 + i * line;
      const known = !Number.isNaN(row.low), enough = known && row.gaps.length >= least;
      const good = enough && (better === "lower" ? row.high < 0 : row.low > 0);
      const bad = enough && (better === "lower" ? row.low > 0 : row.high < 0);
      const kind = good ? "good" : bad ? "bad" : "unsure";
      const beside = { x: left - 10, y: y + 4, "text-anchor": "end" }, over = { x: 0, y: y - 12 };
      draw("text", { ...(above ? over : beside), class: "label" }, svg, names[i + 1]);
      if (known) draw("line", { x1: at(row.low), y1: y, x2: at(row.high), y2: y, class: `range ${kind}` }, svg);
      const dot = draw("circle", { cx: at(row.mean), cy: y, r: 4.5, class: `dot ${kind}` }, svg);
      draw("title", {}, dot, known ? `${digits(row.mean)}, 95 %: ${digits(row.low)} to ${digits(row.high)}` : `${digits(row.mean)}, no interval`);
    });
    for (const value of [-most, 0, most]) {
      const anchor = value < 0 ? "start" : value > 0 ? "end" : "middle";
      draw("text", { x: at(value), y: height - foot + 32, class: "tick", "text-anchor": anchor }, svg, digits(value));
    }
    said.forEach((text, i) => {
      draw("text", { x: width - 4, y: height - foot + 52 + 16 * i, class: "label", "text-anchor": "end" }, svg, text);
    });
  };

  // A line for every metric and every other model: the difference with its interval, and in words what it says.
  const overview = (parent, wanted, names, usable, loaded) => {
    const place = make("div", parent, undefined, "scroll");
    place.tabIndex = 0;
    place.setAttribute("role", "region");
    place.setAttribute("aria-label", "Differences on every metric");
    const list = make("table", place, undefined, names.length > 2 ? "board differences several" : "board differences");
    const head = make("tr", make("thead", list));
    make("th", head, "Metric", "name").scope = "col";
    for (const other of names.slice(1)) make("th", head, other).scope = "col";
    const lines = make("tbody", list);
    for (const key of usable) {
      const score = values.scores[key];
      const line = make("tr", lines);
      const title = make("th", line, `${score.label} ${score.better === "lower" ? "↓" : "↑"}`);
      title.scope = "row";
      const common = values.ids.map((_, i) => i).filter((i) => wanted.every((slug) => score.rows[slug][i] !== null));
      const [first, ...others] = wanted.map((slug) => common.map((i) => score.rows[slug][i]));
      const seeds = loaded.slice(1).map((file) => file.seeds?.[key] ?? 0);
      others.forEach((other, i) => {
        const cell = make("td", line);
        if (!common.length) return void (cell.textContent = "–");
        const gap = difference(first, other, score.factors, seeds[0] + seeds[i + 1]);
        const [low, high] = score.better === "lower" ? [-gap.high, -gap.low] : [gap.low, gap.high];
        const known = !Number.isNaN(gap.low) && common.length >= (score.least ?? Infinity);
        const said = !known ? "no interval" : low > 0 ? "better" : high < 0 ? "worse" : "not decided";
        cell.textContent = `${signed(gap.mean)} `;
        if (known) make("small", cell, `${signed(gap.low)} … ${signed(gap.high)} `);
        make("span", cell, said, said === "better" ? "good" : said === "worse" ? "bad" : "unsure");
      });
    }
  };

  board.compare = async (wanted) => {
    const body = panel.querySelector(".body");
    const mine = wanted.join();
    let loaded;
    try {
      loaded = await Promise.all(["scores", ...wanted].map((name) => data(`${folder}${name}.js`)));
    } catch {
      body.textContent = "The values of single images could not be loaded; they are beside this page in data/.";
      return;
    }
    if (mine !== picked().join()) return; // another choice was made while these values were loading
    values.ids = loaded[0].ids;
    values.scores = {};
    for (const key of loaded[0].order) {
      const about = loaded[0].scores[key];
      const known = wanted.map((slug, i) => [slug, loaded[i + 1].values[key]]).filter(([, column]) => column);
      if (known.length) values.scores[key] = { ...about, rows: Object.fromEntries(known) };
    }
    const choice = panel.querySelector("select");
    if (!choice.options.length) {
      for (const key of loaded[0].order) choice.add(new Option(loaded[0].scores[key].label, key));
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
    const names = wanted.map((slug) => name(document.getElementById(slug)));
    // places of the images for which all of these models have a value: null where the metric cannot score an image
    const places = values.ids.map((_, i) => i).filter((i) => wanted.every((slug) => score.rows[slug][i] !== null));
    const [first, ...others] = wanted.map((slug) => places.map((i) => score.rows[slug][i]));
    const seeds = loaded.slice(1).map((file) => file.seeds?.[state.score] ?? 0);
    const found = others.map((other, i) => difference(first, other, score.factors, seeds[0] + seeds[i + 1]));
    board.explorer = undefined;
    if (loaded[0].sources.length) {
      await board.script(panel.dataset.explorer);
      if (mine !== picked().join()) return;
      const models = wanted.map((slug, i) => ({ slug, name: names[i], ...loaded[i + 1] }));
      board.explorer = board.explore({ ids: values.ids, sources: loaded[0].sources, models });
    }
    body.replaceChildren();
    make("h3", body, `Difference to ${names[0]} on every metric, image by image`);
    overview(body, wanted, names, usable, loaded);
    make("h3", body, `${score.label}: mean difference to ${names[0]} (${score.better} is better)`);
    const left = values.ids.length - places.length;
    if (left) make("p", body, `${left} of ${values.ids.length} images have no value here and are left out.`);
    if (places.length < score.least) {
      make("p", body, `${places.length} images are too few to tell models apart, which takes ${score.least}.`);
    }
    forest(body, found, names, score);
    if (board.explorer) body.append(board.explorer.element);
    const pairs = make("div", body, undefined, "pairs");
    let most; // the image where the first two disagree most
    others.forEach((other, i) => {
      const cell = make("div", pairs);
      make("h3", cell, `${names[i + 1]} against ${names[0]}`);
      scatter(cell, first, other, [names[0], names[i + 1]], score, places);
      const order = found[i].gaps.map((gap, j) => [Math.abs(gap), j]).sort((x, y) => y[0] - x[0]).slice(0, 20);
      most ??= places[order[0]?.[1]];
      make("h4", cell, "Where they disagree most");
      const top = make("ol", cell, undefined, "top");
      const details = make("details", cell);
      make("summary", details, `The next ${Math.max(0, order.length - SHOWN)}`);
      details.hidden = order.length <= SHOWN;
      const rest = make("ol", details);
      rest.start = SHOWN + 1;
      for (const [n, [, j]] of order.entries()) {
        const item = make("li", n < SHOWN ? top : rest);
        const text = `image ${values.ids[places[j]]}`;
        if (board.explorer?.has(places[j])) {
          const button = make("button", item, text);
          button.type = "button";
          button.addEventListener("click", () => board.explorer.show(places[j]));
        } else if (panel.dataset.images) { // what every row scores on it
          const asked = `image=${encodeURIComponent(values.ids[places[j]])}&score=${encodeURIComponent(state.score)}`;
          make("a", item, text).href = `${panel.dataset.images}#${asked}`;
        } else {
          make("span", item, text);
        }
        item.append(`: ${digits(first[j])} and ${digits(other[j])}`);
      }
    });
    if (board.explorer) {
      const asked = values.ids.findIndex((id) => String(id) === state.image);
      const first = [asked, most, loaded[0].sources[0]].find((place) => board.explorer.has(place));
      if (first !== undefined) board.explorer.show(first, false);
    }
  };
})();
