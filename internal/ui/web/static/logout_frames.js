// Goes on when the applications have been told of the logout, or when that takes too long.
(() => {
  const next = document.getElementById("next");
  if (!next) {
    return;
  }
  const longest = 3000; // milliseconds
  const grace = 300; // for what an application's page does once it is there
  let gone = false;
  const go = () => {
    if (!gone) {
      gone = true;
      location.replace(next.href); // so that Back doesn't come here
    }
  };
  window.addEventListener("load", () => setTimeout(go, grace)); // which waits for all frames
  setTimeout(go, longest);
})();
