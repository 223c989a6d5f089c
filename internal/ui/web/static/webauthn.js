// Registers a security key or a passkey, or asks for one. The server's part is at the page's own address, with /begin and /finish.
(() => {
  const page = document.getElementById("webauthn");
  const button = document.getElementById("webauthn-btn");
  const problem = document.getElementById("webauthn-error");
  const working = document.getElementById("webauthn-working");
  const registers = page.dataset.mode === "register";

  const fail = (text) => {
    problem.textContent = text;
    problem.hidden = false;
    working.hidden = true;
    button.hidden = false;
  };

  const decode = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const encode = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

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

  // The options have bytes as text, which the browser wants as bytes; its answer goes the other way.
  const ask = (options) => {
    options.challenge = decode(options.challenge);
    for (const known of [...(options.excludeCredentials || []), ...(options.allowCredentials || [])]) {
      known.id = decode(known.id);
    }
    if (!registers) {
      return navigator.credentials.get({ publicKey: options });
    }
    options.user.id = decode(options.user.id);
    return navigator.credentials.create({ publicKey: options });
  };
  const answerOf = (credential) => {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[name]) {
        response[name] = encode(credential.response[name]);
      }
    }
    return { id: credential.id, rawId: encode(credential.rawId), type: credential.type, response };
  };

  const start = async () => {
    problem.hidden = button.hidden = true;
    working.hidden = false;
    try {
      const { publicKey } = await send("begin", {});
      const credential = await ask(publicKey);
      const done = await send("finish", answerOf(credential));
      location.assign(done.redirect);
    } catch (error) {
      // The browser's own words are for developers.
      fail(error instanceof DOMException ? page.dataset.cancelled : error.said || page.dataset.failed);
    }
  };

  if (!window.PublicKeyCredential) {
    fail(page.dataset.unsupported);
    button.hidden = true;
    return;
  }
  button.hidden = false;
  button.addEventListener("click", start);
  if (!registers) {
    start();
  }
})();
