"use strict";
// One image at a time: both sources, the output of each model, their difference, blink and slider, local maps.
(() => {
  const board = window.fusionbenchBoard;
  const { state, folder, remember } = board;
  const place = folder.replace(/^data\//, "pictures/");
  const make = (name, parent, text, className) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    parent.append(element);
    return element;
  };
  const image = (parent, source, alt, className) => {
    const element = make("img", parent, undefined, className);
    element.alt = alt;
    element.src = source;
    return element;
  };
  const figure = (parent, caption) => {
    const element = make("figure", parent);
    make("figcaption", element, caption);
    return make("div", element, undefined, "stack");
  };
  const button = (parent, text, action) => {
    const element = make("button", parent, text);
    element.type = "button";
    element.addEventListener("click", () => action(element));
    return element;
  };

  // Two images on top of each other, any two: a slider uncovers the second, blinking shows them in turn.
  let blinking;
  const stopBlinking = () => { clearInterval(blinking); blinking = undefined; };
  const chosen = []; // names of the two, kept from image to image
  const over = (parent, images) => { // images: [name, source] of everything that may be laid over another
    const stack = figure(parent, "One over another");
    stack.parentElement.classList.add("wide");
    const below = image(stack, "", "");
    const top = image(stack, "", "", "top");
    const controls = make("p", stack.parentElement, undefined, "controls");
    [below, top].forEach((element, n) => {
      const label = make("label", controls, n ? "over " : "show ");
      const select = make("select", label);
      for (const [name, source] of images) select.add(new Option(name, source));
      const known = images.findIndex(([name]) => name === chosen[n]);
      select.selectedIndex = known >= 0 ? known : images.length > 3 ? 2 + n : n; // two models, or what there is
      const lay = () => {
        chosen[n] = select.selectedOptions[0].textContent;
        element.src = select.value;
        element.alt = chosen[n];
      };
      select.addEventListener("change", lay);
      lay();
    });
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: 100, value: 50 });
    slider.setAttribute("aria-label", "share of the area that shows the first");
    const slide = () => { top.style.clipPath = `inset(0 0 0 ${slider.value}%)`; };
    slider.addEventListener("input", slide);
    controls.append(slider);
    slide();
    const blink = button(controls, "Blink", () => {
      if (blinking !== undefined) {
        stopBlinking();
        top.hidden = false;
        slide();
      } else {
        top.style.clipPath = "none";
        blinking = setInterval(() => { top.hidden = !top.hidden; }, 600);
      }
      blink.setAttribute("aria-pressed", blinking !== undefined);
    });
    blink.setAttribute("aria-pressed", false);
  };

  board.over = over;
  board.explore = ({ ids, sources, models }) => {
    stopBlinking();
    const element = document.createElement("section");
    element.className = "explorer";
    const heading = make("h3", element, "Images");
    heading.tabIndex = -1;
    const controls = make("p", element, undefined, "controls");
    const step = (by) => {
      const now = sources.findIndex((i) => String(ids[i]) === state.image);
      show(sources[(now + by + sources.length) % sources.length], false);
    };
    button(controls, "Previous image", () => step(-1));
    button(controls, "Next image", () => step(1));
    element.addEventListener("keydown", (event) => { // arrows go from image to image, but not while a slider is moved
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by && !event.target.matches("input, select")) step(by);
    });
    const grid = make("div", element, undefined, "images");

    const show = (i, move = true) => {
      stopBlinking();
      state.image = String(ids[i]);
      remember();
      heading.textContent = `Image ${ids[i]}`;
      grid.replaceChildren();
      const source = (name) => `${place}${name}/${i}.png`;
      for (const name of ["a", "b"]) image(figure(grid, `Source ${name.toUpperCase()}`), source(name), `source ${name}`);
      const shown = models.filter((model) => model.fused.includes(i));
      const of = (model, kind) => `${place}${model.slug}/${kind}/${i}.png`;
      for (const model of shown) image(figure(grid, model.name), of(model, "fused"), `fused by ${model.name}`);
      const laid = ["a", "b"].map((name) => [`Source ${name.toUpperCase()}`, source(name)]);
      over(grid, [...laid, ...shown.map((model) => [model.name, of(model, "fused")])]);
      for (const other of shown.slice(1)) {
        const stack = figure(grid, `|${shown[0].name} − ${other.name}|, four times as bright`);
        stack.classList.add("difference");
        image(stack, of(shown[0], "fused"), `difference of ${shown[0].name} and ${other.name}`);
        image(stack, of(other, "fused"), "", "top");
      }
      for (const [kind, title] of [["ssim", "Local SSIM"], ["qabf", "Local Qabf"]]) {
        for (const model of shown.filter((one) => one[kind].includes(i))) {
          image(figure(grid, `${title}, ${model.name} (white: kept)`), of(model, kind), `${title} of ${model.name}`);
        }
      }
      if (move) {
        element.scrollIntoView({ block: "nearest" });
        heading.focus({ preventScroll: true });
      }
    };
    return { element, show, has: (i) => sources.includes(i) };
  };
})();
