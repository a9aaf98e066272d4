"use strict";
// One image at a time: what every row scores on it, and its pictures where they are kept. State: #image=ID&score=KEY.
(() => {
  const panel = document.querySelector(".single");
  const { from, pictures, explorer } = panel.dataset;
  const arrived = new Map();
  window.fusionbenchData = (found) => arrived.set(document.currentScript.getAttribute("src"), found);
  const loading = new Map();
  const script = (source) => {
    if (!loading.has(source)) {
      loading.set(source, new Promise((resolve, reject) => {
        const element = document.createElement("script");
        Object.assign(element, { src: source, onload: resolve, onerror: () => reject(new Error(source)) });
        document.head.append(element);
      }));
    }
    return loading.get(source);
  };
  const data = async (name) => { await script(`${from}${name}.js`); return arrived.get(`${from}${name}.js`); };
  const make = (tag, parent, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    parent.append(element);
    return element;
  };
  const asked = () => new URLSearchParams(location.hash.slice(1));
  const images = panel.querySelector("[data-image]"), score = panel.querySelector("[data-score]");
  const said = panel.querySelector("output"), body = panel.querySelector("tbody"), shown = panel.querySelector(".pictures");
  let about, rows;

  const remember = () => {
    const hash = `#image=${encodeURIComponent(about.ids[images.value])}&score=${encodeURIComponent(score.value)}`;
    history.replaceState(null, "", hash);
  };
  const PARTS = { ranked: "Fused images as they are", stretched: "Stretched: ranked apart", predictions: "Submitted predictions: ranked apart", cut: "Training cut short: not ranked", replaced: "Replaced by a newer submission" };
  // four digits, zeros at the end among them, so that a column can be read down; a number with an exponent as it is short
  const digits = (value) => (/e/.test(value.toPrecision(4)) ? Number(value.toPrecision(4)).toString() : value.toPrecision(4));
  const show = () => {
    const i = Number(images.value), key = score.value, lower = about.scores[key].better === "lower";
    const value = (row, name) => row.values[name]?.[i] ?? null;
    const order = rows.filter((row) => value(row, key) !== null)
      .sort((a, b) => (lower ? 1 : -1) * (value(a, key) - value(b, key)));
    const lacking = rows.filter((row) => value(row, key) === null);
    body.replaceChildren();
    const places = new Map(); // rows are placed among those of their part: stretched images never among others
    const parts = [...new Set(rows.map((row) => row.part))];
    for (const row of order) {
      const before = [...places.keys()].filter((other) => other.part === row.part).length;
      places.set(row, before + 1);
    }
    for (const row of parts.flatMap((part) => [...order, ...lacking].filter((one) => one.part === part))) {
      if (parts.length > 1 && row.part !== body.lastElementChild?.dataset.part) {
        const heading = make("tr", body, undefined, "heading");
        const head = make("th", heading, PARTS[row.part] ?? row.part);
        head.colSpan = 2 + about.order.length;
        head.scope = "rowgroup";
      }
      const line = make("tr", body, undefined, row.family === "trivial" ? "trivial" : undefined);
      line.dataset.part = row.part;
      const head = make("th", line);
      head.scope = "row";
      const link = make("a", head, row.title);
      link.href = `models/${from.split("/")[1]}-${row.slug}.html`;
      if (row.note || row.family === "trivial") make("small", head, [row.family === "trivial" && "trivial", row.note].filter(Boolean).join(", "));
      make("td", line, String(places.get(row) ?? "–"));
      for (const name of about.order) make("td", line, value(row, name) === null ? "–" : digits(value(row, name)), name === key ? "h2" : undefined);
    }
    said.textContent = `image ${about.ids[i]}: ${order.length} rows by ${about.scores[key].label}, ${lower ? "lowest" : "highest"} first`;
    shown.replaceChildren();
    const kept = about.sources.includes(i) ? order.filter((row) => row.fused.includes(i)) : [];
    if (kept.length) {
      const grid = make("div", shown, undefined, "images");
      const source = (name) => `${pictures}${name}/${i}.png`;
      const of = (row) => `${pictures}${row.slug}/fused/${i}.png`;
      const figure = (caption, address, alt) => {
        const element = make("figure", grid);
        make("figcaption", element, caption);
        const picture = make("img", make("div", element, undefined, "stack"));
        Object.assign(picture, { alt, loading: "lazy", src: address });
      };
      for (const name of ["a", "b"]) figure(`Source ${name.toUpperCase()}`, source(name), `source ${name}`);
      kept.forEach((row, n) => figure(`${places.get(row)}. ${row.title}: ${digits(value(row, key))}`, of(row), `fused by ${row.title}`));
      const laid = ["a", "b"].map((name) => [`Source ${name.toUpperCase()}`, source(name)]);
      window.fusionbenchBoard.over(grid, [...laid, ...kept.map((row) => [row.title, of(row)])]);
      grid.insertBefore(grid.lastElementChild, grid.children[2] ?? null); // beside the sources
    }
  };
  const follow = () => {
    const wanted = about.ids.findIndex((id) => String(id) === asked().get("image"));
    if (wanted >= 0) images.value = wanted;
    if (about.order.includes(asked().get("score"))) score.value = asked().get("score");
    show();
  };
  const step = (by) => {
    images.value = (Number(images.value) + by + about.ids.length) % about.ids.length;
    show();
    remember();
  };
  (async () => {
    const list = await data("rows");
    about = await data("scores");
    rows = await Promise.all(list.map(async (row) => ({ ...row, ...await data(row.slug) })));
    if (about.sources.length) {
      window.fusionbenchBoard = { state: {}, folder: from, remember };
      await script(explorer);
    }
    about.ids.forEach((id, i) => images.add(new Option(id, i)));
    for (const key of about.order) score.add(new Option(about.scores[key].label, key));
    const heads = make("tr", panel.querySelector("thead"));
    make("th", heads, "Model", "name").scope = "col";
    make("th", heads, "place").scope = "col";
    for (const key of about.order) make("th", heads, `${about.scores[key].label} ${about.scores[key].better === "lower" ? "↓" : "↑"}`).scope = "col";
    for (const select of [images, score]) select.addEventListener("change", () => { show(); remember(); });
    for (const button of panel.querySelectorAll("[data-step]")) button.addEventListener("click", () => step(Number(button.dataset.step)));
    panel.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by && !event.target.matches("input, select, .scroll")) step(by);
    });
    addEventListener("hashchange", () => { follow(); panel.scrollIntoView({ block: "start" }); });
    panel.hidden = false;
    const first = document.querySelector(".disputed tbody a")?.textContent;
    images.value = Math.max(0, about.ids.findIndex((id) => String(id) === first));
    follow();
  })().catch(() => { said.textContent = ""; }).finally(() => { document.documentElement.dataset.ready = "yes"; });
})();
