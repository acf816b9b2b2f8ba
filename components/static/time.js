/* The time line of time travel: while the slider moves, its words and the mark in the picture follow; letting go asks
   for that moment. Without this script the button beside it does. */
(() => {
  const two = (number) => String(number).padStart(2, "0");
  const words = (seconds) => {
    const at = new Date(seconds * 1000);
    const day = `${at.getUTCFullYear()}-${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
    return `${day} ${two(at.getUTCHours())}:${two(at.getUTCMinutes())} UTC`;
  };
  document.addEventListener("input", ({ target }) => {
    if (!target.matches("[data-time-slider]")) return;
    const said = words(Number(target.value));
    target.setAttribute("aria-valuetext", said);
    const output = document.querySelector("[data-time-said]");
    if (output) output.textContent = said;
    const share = `${(100 * (target.value - target.min)) / (target.max - target.min)}%`;
    document.querySelectorAll("[data-marker]").forEach((line) => {
      line.setAttribute("x1", share);
      line.setAttribute("x2", share);
    });
  });
  document.documentElement.classList.add("has-time-script");
})();
