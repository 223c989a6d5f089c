// Does everything that applications do with a provider, with an independent, strict client. Each step prints a line; the first
// deviation ends the run with the reason. The provider must sign everybody in without pages.
import "./webcrypto.js";
import assert from "node:assert/strict";
import * as oidc from "openid-client";

const [issuer, callback] = process.argv.slice(2);
const server = new URL(issuer);
const insecure = { execute: [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks] }; // http, and every signature is checked
const scope = "openid profile email groups offline_access";
const client = { id: "strict app", secret: "s+%cret: of /the app" };

const step = (name) => console.log("ok", name);

/** The lines of Set-Cookie. Debian 12's Node.js gives them as one, joined by commas. */
function cookieLines(headers) {
  if (headers.getSetCookie) return headers.getSetCookie();
  return (headers.get("set-cookie") ?? "").split(/, (?=[^ ;,]+=)/).filter((line) => line !== "");
}

/** A browser that keeps cookies and follows redirects as far as the application's address. */
class Browser {
  cookies = new Map();

  async send(url, init = {}) {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const answer = await fetch(url, { ...init, redirect: "manual", headers: { ...init.headers, cookie } });
    for (const line of cookieLines(answer.headers)) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      this.cookies.set(name, value);
    }
    return answer;
  }

  /** Returns the address at which the application is answered, or the request that a form makes to it. */
  async go(url) {
    let answer = await this.send(url);
    while (answer.status >= 300 && answer.status < 400) {
      const next = new URL(answer.headers.get("location"), url);
      if (next.href.startsWith(callback)) return next;
      answer = await this.send(next);
    }
    const page = await answer.text();
    assert.equal(answer.status, 200, page);
    return formOf(page);
  }
}

/** Returns the request that the form of a form_post page makes. */
function formOf(page) {
  const unescape = (text) => text.replaceAll("&#43;", "+").replaceAll("&amp;", "&");
  const action = /<form method="post" action="([^"]*)">/.exec(page);
  assert.ok(action, page);
  const fields = [...page.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)];
  return new Request(unescape(action[1]), {
    method: "POST", body: new URLSearchParams(fields.map(([, name, value]) => [name, unescape(value)])),
  });
}

async function configure(authentication, id = client.id, options = insecure) {
  return oidc.discovery(server, id, { redirect_uris: [callback] }, authentication, options);
}

async function codeFlow(config, more = {}) {
  const verifier = oidc.randomPKCECodeVerifier(), state = oidc.randomState(), nonce = oidc.randomNonce();
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: callback, scope, state, nonce, max_age: "60", connector_id: "mock",
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256", ...more,
  });
  const answer = await new Browser().go(url);
  return oidc.authorizationCodeGrant(config, answer, {
    pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, maxAge: 60, idTokenExpected: true,
  });
}

async function revocation(config, tokens) {
  assert.equal((await oidc.tokenIntrospection(config, tokens.access_token)).active, true);
  assert.equal((await oidc.tokenIntrospection(config, tokens.refresh_token)).scope, scope);
  await oidc.tokenRevocation(config, tokens.access_token);
  assert.equal((await oidc.tokenIntrospection(config, tokens.access_token)).active, false);
  await assert.rejects(oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub));
  const fresh = await oidc.refreshTokenGrant(config, tokens.refresh_token);
  await oidc.tokenRevocation(config, fresh.refresh_token, { token_type_hint: "refresh_token" });
  assert.equal((await oidc.tokenIntrospection(config, fresh.access_token)).active, false);
  await assert.rejects(oidc.refreshTokenGrant(config, fresh.refresh_token), { error: "invalid_grant" });
}

async function deviceFlow(config) {
  const device = await oidc.initiateDeviceAuthorization(config, { scope });
  assert.equal(device.interval, 5);
  const polling = oidc.pollDeviceAuthorizationGrant(config, { ...device, interval: 1 }); // too early: it must slow down
  const browser = new Browser();
  const form = { user_code: device.user_code, decision: "continue" };
  const answer = await browser.send(issuer + "/device/auth/verify_code", { method: "POST", body: new URLSearchParams(form) });
  assert.ok(answer.status === 302, `${answer.status} ${await answer.text()}`);
  let page = await browser.send(new URL(answer.headers.get("location"), issuer));
  while (page.status >= 300) page = await browser.send(new URL(page.headers.get("location"), issuer));
  assert.match(await page.text(), /Device connected/);
  const tokens = await polling;
  assert.ok(tokens.claims().email && tokens.refresh_token);
  return tokens;
}

async function main() {
  const config = await configure(oidc.ClientSecretBasic(client.secret));
  assert.equal(config.serverMetadata().issuer, issuer);
  step("OpenID Connect discovery");
  const metadata = await configure(oidc.None(), "public", { ...insecure, algorithm: "oauth2" });
  assert.equal(metadata.serverMetadata().token_endpoint, config.serverMetadata().token_endpoint);
  step("authorization server metadata");

  const tokens = await codeFlow(config);
  assert.ok(tokens.claims().auth_time && tokens.expiresIn() > 0);
  step("code flow with PKCE, nonce, max_age and iss; client_secret_basic");
  const user = await oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
  assert.equal(user.email, "kilgore@kilgore.trout");
  step("UserInfo");
  const fresh = await oidc.refreshTokenGrant(config, tokens.refresh_token);
  assert.equal(fresh.claims().sub, tokens.claims().sub);
  assert.equal(fresh.claims().auth_time, tokens.claims().auth_time);
  step("refresh");
  await revocation(config, fresh);
  step("introspection and revocation");

  const post = await configure(oidc.ClientSecretPost(client.secret));
  await codeFlow(post, { response_mode: "form_post" });
  step("form_post; client_secret_post");
  const open = await configure(oidc.None(), "public");
  await codeFlow(open);
  step("public client");

  const hybrid = await configure(oidc.ClientSecretBasic(client.secret));
  oidc.useCodeIdTokenResponseType(hybrid);
  await codeFlow(hybrid);
  step("hybrid flow: code id_token, with c_hash");
  const implicit = await configure(oidc.None());
  oidc.useIdTokenResponseType(implicit);
  const nonce = oidc.randomNonce(), state = oidc.randomState();
  const answer = await new Browser().go(oidc.buildAuthorizationUrl(implicit, {
    redirect_uri: callback, scope: "openid email", nonce, state, connector_id: "mock",
  }));
  const claims = await oidc.implicitAuthentication(implicit, answer, nonce, { expectedState: state });
  assert.equal(claims.email, "kilgore@kilgore.trout");
  step("implicit flow: id_token");

  await deviceFlow(config);
  await deviceFlow(open);
  step("device flow, with slow_down; confidential and public");
  const own = await oidc.clientCredentialsGrant(config, { scope: "openid profile" });
  assert.equal(own.refresh_token, undefined);
  assert.equal((await oidc.tokenIntrospection(config, own.access_token)).client_id, client.id);
  step("client credentials");
  const exchanged = await oidc.genericGrantRequest(config, "urn:ietf:params:oauth:grant-type:token-exchange", {
    connector_id: "mock", subject_token: "a-token-of-the-mock", scope: "openid email",
    subject_token_type: "urn:ietf:params:oauth:token-type:id_token", audience: "audience",
  });
  assert.equal(exchanged.issued_token_type, "urn:ietf:params:oauth:token-type:access_token");
  assert.deepEqual((await oidc.tokenIntrospection(config, exchanged.access_token)).aud, ["audience", client.id]);
  step("token exchange");
}

main().catch((reason) => {
  console.error(reason);
  process.exitCode = 1;
});
