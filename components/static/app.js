/* Comfort only: every page works without it. No inline handlers, no eval; behaviour hangs on data attributes. */
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;

  /* Theme: <button data-theme-set="light|dark|system"> */
  const markTheme = () =>
    all("[data-theme-set]").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.themeSet === root.dataset.theme)));
  markTheme();

  document.addEventListener("click", async (event) => {
    const target = event.target;
    const of = (selector) => target.closest(selector);
    all("details.menu[open]").forEach((menu) => menu.contains(target) || menu.removeAttribute("open"));

    const theme = of("[data-theme-set]");
    if (theme) {
      root.dataset.theme = theme.dataset.themeSet;
      document.cookie = `theme=${theme.dataset.themeSet};path=/;max-age=31536000;samesite=lax`;
      markTheme();
    }
    /* Copy: <button data-copy="text"> */
    const copy = of("[data-copy]");
    if (copy && navigator.clipboard) {
      const label = copy.getAttribute("aria-label");
      await navigator.clipboard.writeText(copy.dataset.copy);
      copy.setAttribute("aria-label", "Copied");
      copy.querySelector("use")?.setAttribute("href", copy.dataset.doneIcon);
      setTimeout(() => {
        copy.setAttribute("aria-label", label);
        copy.querySelector("use")?.setAttribute("href", copy.dataset.icon);
      }, 1500);
    }
    /* Dialogs: <button data-open="id">, <button data-close>; a click on the backdrop closes too */
    const opener = of("[data-open]");
    if (opener) {
      of("details.menu")?.removeAttribute("open");
      document.getElementById(opener.dataset.open)?.showModal();
    }
    if (of("[data-close]") || target.nodeName === "DIALOG") of("dialog")?.close();
  });

  /* One submit per click. The pressed button keeps its name and value because it is disabled only afterwards. */
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.method === "dialog" || event.target.method === "get") return;
    if (event.target.dataset.sent) return event.preventDefault();
    event.target.dataset.sent = "1";
    event.submitter?.setAttribute("aria-busy", "true");
  });
  addEventListener("pageshow", () => {
    all("form[data-sent]").forEach((form) => delete form.dataset.sent);
    all("[aria-busy]").forEach((button) => button.removeAttribute("aria-busy"));
  });

  /* A form that came back with mistakes says so first; else the message about a post, unless a field asks for the focus. */
  const said = document.querySelector("[data-focus]") ?? (document.querySelector("[autofocus]") ? null : document.querySelector(".messages"));
  said?.focus();

  /* Parts that fetch themselves anew: when the session has ended, the sign-in page is not put into the middle of this one. */
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!event.detail.xhr.responseURL.includes("/accounts/login/")) return;
    event.detail.shouldSwap = false;
    if (event.target.id === "counts") return event.target.remove(); /* They are on every page, and ask no more. */
    if (!all("textarea").some((field) => field.value)) location.reload();
  });

  /* Buttons that write a name into a text, at the cursor. */
  document.addEventListener("click", ({ target }) => {
    const button = target.closest?.("[data-insert]");
    const field = button && document.getElementById(button.dataset.into);
    if (!field) return;
    const before = field.value.slice(0, field.selectionStart);
    const space = before && !/\s$/.test(before) ? " " : "";
    field.setRangeText(`${space}${button.dataset.insert} `, field.selectionStart, field.selectionEnd, "end");
    field.focus();
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });

  /* Tabs scroll; the current one is in sight. */
  all(".tabs [aria-current]").forEach((here) => {
    const row = here.parentNode;
    row.scrollLeft = here.offsetLeft + here.offsetWidth - row.offsetLeft - row.clientWidth;
  });

  /* Shortcuts: none decides anything, and <body data-shortcuts="off"> stops all but Escape (WCAG 2.1.4). */
  const go = (name) => document.querySelector(`[data-go="${name}"]`)?.click();
  const places = { o: "overview", i: "inbox", m: "models", h: "history", p: "policies" };
  let waitsForPlace = 0;
  const step = (by) => {
    const items = all("[data-list] [data-item]");
    const of = (is) => items.findIndex(is);
    let now = of((item) => item.classList.contains("is-current") || item.contains(document.activeElement));
    if (now < 0) now = of((item) => item.querySelector("[aria-current]"));
    const next = items[Math.max(0, Math.min(items.length - 1, now + by))];
    items[now]?.classList.remove("is-current");
    next?.classList.add("is-current");
    (next?.querySelector("[data-open-item], a") ?? next)?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    const menu = document.querySelector("details.menu[open]");
    if (event.key === "Escape" && menu) {
      menu.removeAttribute("open");
      menu.querySelector("summary").focus();
    }
    const typing = event.target.closest("input, textarea, select, dialog, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || document.body.dataset.shortcuts === "off") return;
    const isPlace = Date.now() - waitsForPlace < 1200 && places[event.key];
    waitsForPlace = event.key === "g" ? Date.now() : 0;
    if (isPlace) go(isPlace);
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (/^[a-z]$/.test(event.key)) document.querySelector(`[data-key="${event.key}"]`)?.click();
    else if (event.key === "?") document.getElementById("shortcuts")?.showModal();
    else if (event.key === "/") {
      const field = all("[data-search]").find((input) => input.offsetParent);
      field ? field.focus() : go("search");
      event.preventDefault();
    }
  });
})();
