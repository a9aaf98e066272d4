"use strict";
// The first page: which benchmarks, and which of their rows, are asked for. State lives in the address after '#'.
(() => {
  const tools = document.querySelector(".tools");
  if (!tools) return;
  const search = tools.querySelector("input[type=search]");
  const filters = [...tools.querySelectorAll("select[data-filter]")];
  const cards = [...document.querySelectorAll(".card")];
  const asked = new URLSearchParams(location.hash.slice(1));
  search.value = asked.get("q") ?? "";
  for (const filter of filters) {
    const wanted = asked.get(filter.dataset.filter);
    if ([...filter.options].some((option) => option.value === wanted)) filter.value = wanted;
  }
  const onCard = (name) => name === "track" || name === "dataset";
  const apply = () => {
    const wanted = filters.filter((filter) => filter.value).map((filter) => [filter.dataset.filter, filter.value]);
    const ofRows = wanted.filter(([name]) => !onCard(name));
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const has = (text) => words.every((word) => text.toLowerCase().includes(word));
    let shown = 0;
    for (const card of cards) {
      const heading = card.querySelector("h2 a");
      const details = card.querySelector("details");
      if (details) details.open = Boolean(words.length || ofRows.length); // what was found is seen
      const titled = has(heading.textContent);
      let rows = 0;
      for (const row of card.querySelectorAll(".names li")) {
        const fits = ofRows.every(([name, value]) => row.dataset[name].split(" ").includes(value));
        row.hidden = !(fits && (titled || has(row.textContent)));
        rows += !row.hidden;
      }
      card.hidden = !rows || wanted.some(([name, value]) => onCard(name) && card.dataset[name] !== value);
      shown += !card.hidden;
      const passed = ofRows.map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
      if (words.length && !titled) passed.push(`q=${encodeURIComponent(search.value.trim())}`);
      const [page] = heading.getAttribute("href").split("#");
      heading.setAttribute("href", passed.length ? `${page}#${passed.join("&")}` : page); // it shows the same rows
    }
    const said = wanted.length || words.length ? `${shown} of ${cards.length} benchmarks` : "";
    tools.querySelector("output").textContent = said;
    const state = wanted.map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    if (words.length) state.push(`q=${encodeURIComponent(search.value.trim())}`);
    history.replaceState(null, "", state.length ? `#${state.join("&")}` : location.pathname);
  };
  search.addEventListener("input", apply);
  for (const filter of filters) filter.addEventListener("change", apply);
  tools.hidden = false;
  tools.querySelector(".more").open = filters.some((filter) => filter.value);
  apply();
  document.documentElement.dataset.ready = "yes";
})();
