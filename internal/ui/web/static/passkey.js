// Lets somebody log in with a passkey: by a button, and among what the browser offers for the field of the name. Without JavaScript,
// or in a browser that knows no passkeys, the form stays hidden.
(async () => {
  const form = document.getElementById("passkey");
  const problem = document.getElementById("passkey-error");
  if (!window.PublicKeyCredential) {
    return;
  }
  const { get } = await import("./credentials.js");
  const options = JSON.parse(form.dataset.options);

  const send = (credential) => {
    form.elements.credential.value = JSON.stringify(credential);
    if (document.getElementById("remember_me")?.checked) {
      const remember = document.createElement("input");
      Object.assign(remember, { type: "hidden", name: "remember_me", value: "on" });
      form.append(remember);
    }
    form.submit();
  };

  // Browsers have one request at a time: that of the button ends the other one first.
  let asking = false;
  let waiting = new AbortController();
  const autofill = async () => {
    if (!await PublicKeyCredential.isConditionalMediationAvailable?.() || asking) {
      return;
    }
    waiting = new AbortController();
    try {
      send(await get(options, { mediation: "conditional", signal: waiting.signal }));
    } catch {
      // The button was pressed, or nobody has chosen a passkey.
    }
  };
  let filling = autofill();

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (asking) {
      return;
    }
    asking = true;
    problem.hidden = true;
    waiting.abort();
    await filling;
    try {
      send(await get(options));
    } catch {
      problem.textContent = problem.dataset.failed;
      problem.hidden = false;
      asking = false;
      filling = autofill();
    }
  });
  form.hidden = false;
})();
