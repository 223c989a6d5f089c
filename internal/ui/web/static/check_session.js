// Tells applications whether the session is still that of their login (OpenID Connect Session Management 1.0, section 3.2). They
// send "CLIENT_ID SESSION_STATE", where the state is HASH.SALT, and get unchanged, changed, or error.
(() => {
  const cookie = document.currentScript.dataset.cookie;

  const browserState = () => {
    const found = document.cookie.split("; ").find((c) => c.startsWith(cookie + "="));
    return found ? found.slice(cookie.length + 1) : "";
  };

  // Some browsers keep cookies from frames of other sites. Then it can't be told whether the session has ended, and "changed" would
  // send the application's user to log in again and again.
  const readable = async () => !document.hasStorageAccess || document.hasStorageAccess();

  // The page that this frame is in, as far as the browser says; only its own frames may ask.
  const embedder = () => {
    if (location.ancestorOrigins && location.ancestorOrigins.length > 0) {
      return location.ancestorOrigins[0];
    }
    return document.referrer ? new URL(document.referrer).origin : "";
  };

  const hash = async (text) => {
    const sum = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    return btoa(String.fromCharCode(...new Uint8Array(sum))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  };

  const check = async (message, origin) => {
    const [, client, expected, salt] = /^(.+) ([^ .]+)\.([^ .]+)$/.exec(message) || [];
    if (!client || !crypto.subtle) { // which browsers leave out over plain HTTP
      return "error";
    }
    const state = browserState();
    if (!state && !(await readable())) {
      return "error";
    }
    return (await hash(client + " " + origin + " " + state + " " + salt)) === expected ? "unchanged" : "changed";
  };

  window.addEventListener("message", async (event) => {
    const from = embedder();
    if (!event.source || typeof event.data !== "string" || event.data.length > 4096 || event.origin === "null" || (from && from !== event.origin)) {
      return;
    }
    const answer = await check(event.data, event.origin).catch(() => "error");
    event.source.postMessage(answer, event.origin);
  });
})();
