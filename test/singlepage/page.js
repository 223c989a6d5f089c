// A single-page application, as the guide of its library has it. The tests put in the address of the server.
const manager = new oidc.UserManager({
  authority: AUTHORITY,
  client_id: "single-page",
  redirect_uri: location.origin + "/callback",
  silent_redirect_uri: location.origin + "/silent",
  post_logout_redirect_uri: location.origin + "/",
  scope: "openid profile email",
  loadUserInfo: true,
  automaticSilentRenew: false, // the tests say when
  monitorSession: true,
  checkSessionIntervalInSeconds: 1,
});

const events = []; // of the session
manager.events.addUserSignedOut(() => events.push("signed out"));
manager.events.addUserSessionChanged(() => events.push("changed"));

// What a silent renewal brings: the user's token, or the server's error.
const renew = () => manager.signinSilent().then((user) => user.id_token, (err) => err.error || String(err));

const show = (id, text) => {
  const element = document.createElement("pre");
  element.id = id;
  element.textContent = text;
  document.body.append(element);
};

addEventListener("DOMContentLoaded", async () => {
  document.getElementById("login").onclick = () => manager.signinRedirect();
  document.getElementById("logout").onclick = () => manager.signoutRedirect();
  switch (location.pathname) {
  case "/silent":
    return manager.signinSilentCallback();
  case "/callback":
    try {
      const user = await manager.signinCallback();
      show("claims", JSON.stringify(user.profile));
      show("id-token", user.id_token);
    } catch (err) {
      show("error", err.error || String(err));
    }
  }
});
