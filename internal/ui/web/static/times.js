// Shows times in the reader's own time zone. Without JavaScript they are in UTC.
(() => {
  // The page's language as the reader has it: British English, say.
  const page = document.documentElement.lang;
  const language = navigator.languages.find((l) => l.split("-")[0] === page.split("-")[0]) || page;
  const format = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = format.format(new Date(time.dateTime));
  }
})();
