/* Runs before the first paint: light or dark, as the person chose (cookie) or as the system prefers; and tells the
   server, from the next page on, on which clock this browser reads times. */
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const theme = root.dataset.theme;
    root.dataset.bsTheme = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
  };
  root.dataset.js = "";
  document.cookie = `zone=${Intl.DateTimeFormat().resolvedOptions().timeZone};path=/;max-age=31536000;samesite=lax`;
  root.dataset.theme = /(?:^|; )theme=(light|dark)/.exec(document.cookie)?.[1] ?? root.dataset.theme;
  apply();
  dark.addEventListener("change", apply);
  new MutationObserver(apply).observe(root, { attributeFilter: ["data-theme"] });
})();
