// Adds buttons: one that shows the password, one beside each code that copies it, and one that prints the page. Without JavaScript
// there are none.
(() => {
  const addButton = (beside, text) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "dex-btn dex-btn-small theme-btn-provider";
    button.textContent = text;
    beside.after(" ", button);
    return button;
  };

  for (const field of document.querySelectorAll("input[data-show]")) {
    const button = addButton(field, field.dataset.show);
    button.setAttribute("aria-label", field.dataset.showLabel);
    button.setAttribute("aria-controls", field.id);
    const show = (shown) => {
      field.type = shown ? "text" : "password";
      button.setAttribute("aria-pressed", String(shown));
    };
    show(false);
    button.addEventListener("click", () => show(field.type === "password"));
    field.form.addEventListener("submit", () => show(false)); // so that browsers know it for a password
    window.addEventListener("pageshow", () => show(false));
  }

  for (const paper of document.querySelectorAll("[data-print]")) {
    addButton(paper, paper.dataset.print).addEventListener("click", () => print());
  }

  for (const code of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) {
      break; // not over plain HTTP
    }
    const button = addButton(code, code.dataset.copy);
    const said = document.createElement("span");
    said.className = "dex-unseen";
    said.setAttribute("role", "status");
    button.after(said);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.value || code.innerText);
      } catch {
        return; // the browser doesn't allow it
      }
      button.textContent = said.textContent = code.dataset.copied;
      setTimeout(() => {
        button.textContent = code.dataset.copy;
        said.textContent = "";
      }, 3000);
    });
  }
})();
