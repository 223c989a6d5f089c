// Loads the page again when the server has other files than those that the page was made of.
"use strict";
const shown = document.currentScript.dataset.version;
const look = async () => {
  try {
    const answer = await fetch("/_preview/version", { cache: "no-store" });
    if (answer.ok && (await answer.text()) !== shown) {
      location.reload();
      return;
    }
  } catch {
    // The preview has ended. It may come back.
  }
  setTimeout(look, 500);
};
setTimeout(look, 500);
