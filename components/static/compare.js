/* Blend: <details data-blend> with two pickers, a slider and two images over each other. They load when it is opened. */
(() => {
  const set = (blend) => {
    const of = (name) => blend.querySelector(`[data-blend-${name}]`);
    const [below, above] = [0, 1].map((which) => {
      const pick = of(`pick="${which}"`);
      const image = of(`image="${which}"`);
      const shown = pick.selectedOptions[0];
      if (image.getAttribute("src") !== shown.value) image.src = shown.value;
      return { image, name: shown.textContent.trim() };
    });
    const range = of("range");
    above.image.style.opacity = range.value / 100;
    range.setAttribute("aria-valuetext", `${100 - range.value} % ${below.name}, ${range.value} % ${above.name}`);
  };
  for (const kind of ["toggle", "input", "change"]) {
    document.addEventListener(kind, (event) => {
      const blend = event.target.closest("[data-blend]");
      if (blend?.open) set(blend);
    }, true);
  }
})();
