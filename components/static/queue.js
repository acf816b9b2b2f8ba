/* The review queue without a page between two requests: forms are sent by HTMX, the next request is fetched ahead, the
   focus follows. Without it every link and form leads to the same addresses. */
(() => {
  const queue = () => document.getElementById("queue");
  let shown = ""; /* The request from which a form was sent. */

  /* A form of the request: what it answers, the next request or the same with a mistake, takes the place of the queue. */
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || !form.closest("#queue-request")) return;
    event.preventDefault();
    const values = { queue: location.pathname + location.search };
    if (event.submitter?.name) values[event.submitter.name] = event.submitter.value;
    shown = document.getElementById("queue-request").dataset.request;
    htmx.ajax("POST", form.action, { source: form, target: "#queue", swap: "outerHTML", values });
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

  /* The focus, and with it a screen reader, goes to what was said, else to the heading of another request; after a comment
     it stays with the comment. */
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id !== "queue") return;
    const request = document.getElementById("queue-request");
    const isSame = shown && shown === request.dataset.request;
    shown = "";
    const said =
      request.querySelector("[data-focus], .messages") ??
      (isSame ? request.querySelector("#latest") : null) ?? request.querySelector("h1");
    if (!said) return;
    said.setAttribute("tabindex", "-1");
    said.focus({ preventScroll: true });
    if (isSame) said.scrollIntoView({ block: "center" });
    else scrollTo(0, 0);
    queue().querySelector(".queue-list .is-open")?.scrollIntoView({ block: "nearest" });
    fetchAhead();
  });

  /* The next request is fetched while this one is read; what is older than 20 seconds is asked for anew. The server notes
     that it was opened when it is shown. */
  let ahead = {};
  const fetchAhead = async () => {
    const link = queue()?.querySelector("[data-ahead]");
    ahead = {};
    if (!link || navigator.connection?.saveData) return;
    const headers = { "HX-Request": "true", "HX-Target": "queue", "HX-Preloaded": "true" };
    const answer = await fetch(link.href, { headers }).catch(() => null);
    if (answer?.ok && !answer.redirected) ahead = { address: link.href, html: await answer.text(), at: Date.now() };
  };
  document.addEventListener("htmx:confirm", (event) => {
    const link = event.target;
    if (!ahead.address || link.href !== ahead.address || Date.now() - ahead.at > 20000) return;
    event.preventDefault();
    history.replaceState({ htmx: true }, "", location.href);
    history.pushState({ htmx: true }, "", ahead.address);
    htmx.swap(queue(), ahead.html, { swapStyle: "outerHTML", swapDelay: 0, settleDelay: 20 });
  });
  fetchAhead();

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
