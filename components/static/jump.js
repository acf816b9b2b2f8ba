/* Ctrl/Cmd-K: a field that goes to any page, model, version, request, policy or person. Arrow keys choose, Enter goes. */
(() => {
  const dialog = document.getElementById("jump");
  if (!dialog) return;
  const field = dialog.querySelector("input");
  const list = document.getElementById("jump-options");
  const options = () => [...list.querySelectorAll('[role="option"]')];
  const choose = (option) => {
    options().forEach((each) => each.setAttribute("aria-selected", String(each === option)));
    if (option) field.setAttribute("aria-activedescendant", option.id);
    else field.removeAttribute("aria-activedescendant");
    option?.scrollIntoView({ block: "nearest" });
  };
  const chosen = () => list.querySelector('[aria-selected="true"]');

  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    if (document.querySelector("dialog[open]:not(#jump)")) return;
    event.preventDefault();
    if (dialog.open) dialog.close();
    else {
      dialog.showModal();
      field.select();
    }
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  field.addEventListener("keydown", (event) => {
    const all = options();
    const now = all.indexOf(chosen());
    if (event.key === "ArrowDown") choose(all[(now + 1) % all.length]);
    else if (event.key === "ArrowUp") choose(all[(now - 1 + all.length) % all.length]);
    else if (event.key === "Enter") chosen()?.click();
    else return;
    event.preventDefault();
  });
  list.addEventListener("htmx:afterSwap", () => choose(options()[0]));
})();
