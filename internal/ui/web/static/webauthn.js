// Registers a security key or a passkey, or asks for one. The server's part is at the page's own address, with /begin and /finish.
(() => {
  const page = document.getElementById("webauthn");
  const form = document.getElementById("webauthn-form"); // when registering
  const name = document.getElementById("webauthn-name");
  const button = document.getElementById("webauthn-btn");
  const problem = document.getElementById("webauthn-error");
  const working = document.getElementById("webauthn-working");
  const registers = page.dataset.mode === "register";

  const offer = (shown) => {
    for (const part of [form, button]) {
      if (part) {
        part.hidden = !shown;
      }
    }
  };
  const fail = (text) => {
    problem.textContent = text;
    problem.hidden = false;
    working.hidden = true;
  };

  const send = async (step, body) => {
    const answer = await fetch(location.pathname + "/" + page.dataset.mode + "/" + step + location.search, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      throw Object.assign(new Error(answer.statusText), { said: said.error });
    }
    return said;
  };

  // Most passkeys are kept by the device, and called after it.
  const device = () => {
    const agent = navigator.userAgent;
    if (/Macintosh/.test(agent)) {
      return navigator.maxTouchPoints > 1 ? "iPad" : "Mac";
    }
    const known = agent.match(/iPhone|iPad|Android|Windows|CrOS|Linux/);
    return known ? known[0].replace("CrOS", "Chromebook") : "";
  };
  const suggested = device() || page.dataset.key;
  const nameOf = (credential) => {
    const chosen = name.value.trim();
    const carried = credential.authenticatorAttachment === "cross-platform" && !credential.response.transports?.includes("hybrid");
    return chosen === suggested && carried ? page.dataset.key : chosen || suggested;
  };

  const register = async (credentials, options) => {
    const credential = await credentials.create(options);
    return send("finish", { ...credential, name: nameOf(credential) });
  };
  const login = async (credentials, options) => send("finish", await credentials.get(options));

  // The browser's own words are for developers.
  const textOf = (error) => {
    const { cancelled, known, failed } = page.dataset;
    switch (error.name) {
    case "NotAllowedError":
    case "AbortError":
      return cancelled;
    case "InvalidStateError":
      return known;
    }
    return error.said || failed;
  };

  const start = async () => {
    problem.hidden = true;
    offer(false);
    working.hidden = false;
    try {
      const credentials = await import("./credentials.js");
      const options = await send("begin", {});
      // The login may be past this page: another tab has passed it, or removed the key.
      const done = options.redirect ? options : await (registers ? register : login)(credentials, options);
      location.assign(done.redirect);
    } catch (error) {
      fail(textOf(error));
      offer(true);
      button.focus();
    }
  };

  if (!window.PublicKeyCredential) {
    fail(page.dataset.unsupported);
    return;
  }
  if (!registers) {
    button.addEventListener("click", start);
    start();
    return;
  }
  name.value ||= suggested;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  offer(true);
})();
