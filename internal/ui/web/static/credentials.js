// Asks the browser for a security key or a passkey. Options and answers are JSON, with bytes in base64url, as browsers themselves
// read and write it since 2024 only.
const decode = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const encode = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

const decodeIDs = (credentials = []) => credentials.map((known) => ({ ...known, id: decode(known.id) }));

const answerOf = (credential) => {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) {
      response[name] = encode(credential.response[name]);
    }
  }
  if (credential.response.getTransports) {
    response.transports = credential.response.getTransports();
  }
  return {
    id: credential.id, rawId: encode(credential.rawId), type: credential.type, response,
    authenticatorAttachment: credential.authenticatorAttachment || undefined,
    clientExtensionResults: credential.getClientExtensionResults(),
  };
};

// create registers a credential.
export const create = async ({ publicKey }) => answerOf(await navigator.credentials.create({
  publicKey: {
    ...publicKey,
    challenge: decode(publicKey.challenge),
    user: { ...publicKey.user, id: decode(publicKey.user.id) },
    excludeCredentials: decodeIDs(publicKey.excludeCredentials),
  },
}));

// get asks for a credential; more are other members of the request.
export const get = async ({ publicKey }, more) => answerOf(await navigator.credentials.get({
  ...more,
  publicKey: {
    ...publicKey,
    challenge: decode(publicKey.challenge),
    allowCredentials: decodeIDs(publicKey.allowCredentials),
  },
}));
