/* What was typed before the session ended goes back into its form, into the fields that people see. */
(() => {
  const unsent = document.querySelector("[data-unsent]");
  const texts = JSON.parse(document.getElementById("unsent").textContent);
  const goesThere = (form) => form.method === "post" && new URL(form.getAttribute("action") || "", location).pathname === unsent.dataset.unsent;
  const form = [...document.forms].find(goesThere);
  if (!form) return;
  for (const [name, values] of Object.entries(texts)) {
    [...form.elements]
      .filter((field) => field.name === name && !["hidden", "file", "submit", "button"].includes(field.type))
      .forEach((field, place) => {
        if (["checkbox", "radio"].includes(field.type)) field.checked = values.includes(field.value);
        else if (field.multiple) [...field.options].forEach((option) => (option.selected = values.includes(option.value)));
        else if (place < values.length) field.value = values[place];
      });
  }
  form.querySelector("textarea")?.focus();
})();
