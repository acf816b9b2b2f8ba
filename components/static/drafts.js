/* Half-written text survives a reload: what is typed into a <form data-draft="person.place"> lies in this browser until it
   is sent, or another person signs in here. What the server put into a field goes first. */
(() => {
  const PREFIX = "draft:";
  const texts = (form) => [...form.querySelectorAll("textarea[name]")];
  const keyOf = (form, field) => `${PREFIX}${form.dataset.draft}.${field.name}`;
  let box;
  try {
    box = localStorage;
    box.getItem(PREFIX);
  } catch {
    return; /* Storage is switched off. */
  }

  const fill = () =>
    document.querySelectorAll("form[data-draft]").forEach((form) => {
      const own = `${PREFIX}${form.dataset.draft.split(".")[0]}.`;
      Object.keys(box)
        .filter((key) => key.startsWith(PREFIX) && !key.startsWith(own))
        .forEach((key) => box.removeItem(key));
      texts(form).forEach((field) => {
        const kept = box.getItem(keyOf(form, field));
        if (!kept || field.value || field.defaultValue) return;
        field.value = kept;
        const fold = field.closest("details");
        if (fold) fold.open = true;
      });
    });

  document.addEventListener("input", ({ target }) => {
    const form = target.closest("form[data-draft]");
    if (!form || !target.matches("textarea[name]")) return;
    try {
      if (target.value.trim()) box.setItem(keyOf(form, target), target.value);
      else box.removeItem(keyOf(form, target));
    } catch {
      /* The box is full: the text stays in its field. */
    }
  });
  document.addEventListener("submit", ({ target }) => {
    if (target.dataset.draft) texts(target).forEach((field) => box.removeItem(keyOf(target, field)));
  });
  document.addEventListener("htmx:afterSettle", fill);
  fill();
})();
