/* The review queue without a page between two requests: forms are sent by HTMX, the next request is fetched ahead, the
   focus follows. Without it every link and form leads to the same addresses. */
(() => {
  const queue = () => document.getElementById("queue");
  const isHere = (address) => new URL(address, location.href).pathname.startsWith("/queue/");

  /* A form of the request: what it answers, the next request or the same with a mistake, takes the place of the queue. */
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || !form.closest("#queue-request")) return;
    event.preventDefault();
    const values = { queue: location.pathname + location.search };
    if (event.submitter?.name) values[event.submitter.name] = event.submitter.value;
    htmx.ajax("POST", form.action, { source: form, target: "#queue", swap: "outerHTML show:window:top", values });
  });

  const release = () => {
    document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent);
    document.querySelectorAll("[aria-busy]").forEach((button) => button.removeAttribute("aria-busy"));
  };
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target } = event.detail;
    if (target !== queue() || event.detail.requestConfig.verb === "get" && event.detail.isError) return;
    if (xhr.responseText.includes('id="queue"')) {
      event.detail.shouldSwap = true; /* A refusal stands in the page, too. */
      event.detail.isError = false;
    } else {
      /* Another page, which proves who I am, say: go there. */
      event.detail.shouldSwap = false;
      location.assign(xhr.status < 400 ? xhr.responseURL : location.href);
    }
  });
  ["htmx:sendError", "htmx:timeout"].forEach((name) => document.addEventListener(name, release));

  /* The focus, and with it a screen reader, goes to what was said, else to the request's heading. */
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target?.id !== "queue" && event.target.id !== "queue") return;
    const said = queue().querySelector("[data-focus], .messages") ?? queue().querySelector("h1");
    said.setAttribute("tabindex", "-1");
    said.focus({ preventScroll: true });
    queue().querySelector(".queue-list .is-open")?.scrollIntoView({ block: "nearest" });
  });

  /* What can be undone for some seconds offers it no longer. */
  const expire = () =>
    document.querySelectorAll("[data-until]").forEach((part) => {
      const form = part.querySelector("form");
      setTimeout(() => form?.remove(), Math.max(0, new Date(part.dataset.until) - Date.now()));
    });
  document.addEventListener("htmx:afterSettle", expire);
  expire();

  /* Keys: n and p are links with data-key; none of these decides anything. */
  const places = {
    d: () => document.querySelector("#decision-approve") ?? document.querySelector("#decision button"),
    c: () => document.querySelector(".comment-form textarea"),
  };
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, textarea, select, dialog, [contenteditable]")) return;
    if (event.ctrlKey || event.metaKey || event.altKey || document.body.dataset.shortcuts === "off") return;
    const item = document.activeElement.closest("[data-item]") ?? document.querySelector("[data-item].is-current");
    if (event.key === "o") item?.querySelector("[data-open-item]").click();
    const place = places[event.key]?.();
    if (!place) return;
    event.preventDefault();
    place.focus();
    place.scrollIntoView({ block: "nearest" });
  });
})();
