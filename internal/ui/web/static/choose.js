// Shows only the ways to log in whose names have what is typed, as the form does when it is sent.
(() => {
  const search = document.getElementById("search");
  const none = document.getElementById("search-none");
  const rows = [...document.querySelectorAll("#connectors > li")];
  if (!search || !none || rows.length === 0) {
    return;
  }
  const plain = (text) => text.normalize("NFKD").replace(/[\p{Mn}\p{Cf}]/gu, "").toLowerCase().replace(/\s+/g, " ").trim();
  const names = rows.map((row) => plain((row.querySelector("bdi") || row).textContent));
  const shown = () => rows.filter((row) => !row.hidden);
  const filter = () => {
    const wanted = plain(search.value);
    rows.forEach((row, i) => { row.hidden = !names[i].includes(wanted); });
    none.textContent = shown().length === 0 ? none.dataset.none : "";
  };
  search.addEventListener("input", filter);
  // Enter chooses what is left, if that is one.
  search.form.addEventListener("submit", (event) => {
    filter();
    const left = shown();
    if (left.length === 1) {
      event.preventDefault();
      left[0].querySelector("a").click();
    }
  });
  window.addEventListener("pageshow", filter); // browsers bring back what was typed
})();
