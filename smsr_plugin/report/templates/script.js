"use strict";

// A viewer shows two versions of an image, each cut off where the slider stands. Zoomed in, the image
// scrolls beneath the line, so the cut is at the line's place in the image. Masks lie over the lq image.
for (const viewer of document.querySelectorAll("[data-compare]")) {
  const view = viewer.querySelector(".view");
  const stack = viewer.querySelector(".stack");
  const base = viewer.querySelector("[data-base]");
  const slider = viewer.querySelector("[data-slider]");
  const zoom = viewer.querySelector("[data-zoom]");
  const veils = viewer.querySelector("[data-veils]");
  const sides = [...viewer.querySelectorAll("[data-side]")];
  const layers = [...viewer.querySelectorAll("[data-layer]")];
  const name = (side) => side.selectedOptions[0].textContent;

  function cut() {
    const place = view.scrollLeft + (slider.value / 100) * view.clientWidth;
    stack.style.setProperty("--cut", `${place}px`);
    slider.setAttribute("aria-valuetext", `${slider.value} % ${name(sides[0])}`);
  }

  function choose() {
    const [left, right] = sides.map((side) => side.value);
    for (const layer of layers) {
      const key = layer.dataset.layer;
      layer.hidden = key !== left && key !== right;
      layer.className = left === right ? "" : key === left ? "cut left" : "cut right";
    }
    veils.disabled = !layers.some((layer) => !layer.hidden && "mask" in layer.dataset);
    base.hidden = veils.disabled;
    stack.dataset.veil = veils.querySelector(":checked").value;
    for (const side of sides) {
      viewer.querySelector(`[data-tag="${side.dataset.side}"]`).textContent = name(side);
    }
    cut();
  }

  function magnify() {
    const x = (view.scrollLeft + view.clientWidth / 2) / stack.clientWidth;
    const y = (view.scrollTop + view.clientHeight / 2) / stack.clientHeight;
    viewer.dataset.zoomed = zoom.value;
    stack.style.setProperty("--zoom", zoom.value === "fit" ? 1 : zoom.value);
    view.tabIndex = zoom.value === "fit" ? -1 : 0;
    view.scrollTo(
      x * stack.clientWidth - view.clientWidth / 2,
      y * stack.clientHeight - view.clientHeight / 2
    );
    cut();
  }

  slider.addEventListener("input", cut);
  view.addEventListener("scroll", cut, { passive: true });
  new ResizeObserver(cut).observe(view);
  zoom.addEventListener("change", magnify);
  veils.addEventListener("change", choose);
  for (const side of sides) side.addEventListener("change", choose);
  for (const link of document.querySelectorAll(`a[href="#${viewer.id}"]`)) {
    link.addEventListener("click", () => {
      sides[1].value = link.dataset.show;
      choose();
    });
  }
  choose(); // a browser may restore what was chosen before a reload
  magnify();
}

// A film shows one of several pictures, drawn after different iterations.
for (const film of document.querySelectorAll("[data-film]")) {
  const slider = film.querySelector("input");
  if (!slider) continue;
  const pictures = [...film.querySelectorAll("img")];
  const iterations = slider.dataset.iterations.split(" ");
  function show() {
    pictures.forEach((picture, i) => (picture.hidden = i !== Number(slider.value)));
    const iteration = iterations[slider.value];
    film.querySelector("output").textContent = iteration;
    slider.setAttribute("aria-valuetext", `${iteration} iterations`);
  }
  slider.addEventListener("input", show);
  show();
}
