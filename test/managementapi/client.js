// Drives the management API with npm's gRPC client: node client.js ADDRESS HASH, in a folder with api.proto and certificates.
const fs = require('node:fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [address, hash] = process.argv.slice(2);
const api = grpc.loadPackageDefinition(loader.loadSync('api.proto', { defaults: true })).api;
const credentials = grpc.credentials.createSsl(
  fs.readFileSync('ca.crt'), fs.readFileSync('client.key'), fs.readFileSync('client.crt'));
const client = new api.Dex(address, credentials);

function call(method, request) {
  return new Promise((resolve, reject) => {
    client[method](request, { deadline: Date.now() + 20000 }, (err, answer) => (err ? reject(err) : resolve(answer)));
  });
}

function check(what, holds) {
  if (!holds) throw new Error(what);
  console.log('ok ' + what);
}

(async () => {
  const version = await call('GetVersion', {});
  check('version', version.api === 4);
  const made = await call('CreateClient', { client: { name: 'Node', redirectUris: ['https://node.test/'] } });
  check('create a client', made.client.id && made.client.secret.length >= 50);
  const list = await call('ListClients', {});
  check('list clients', list.clients.some((c) => c.id === made.client.id && c.name === 'Node'));
  const gone = await call('DeleteClient', { id: made.client.id });
  check('delete the client', !gone.notFound);
  check('it is gone', (await call('DeleteClient', { id: made.client.id })).notFound);
  const user = { email: 'node@example.com', hash: Buffer.from(hash, 'base64'), username: 'node', userId: 'n' };
  check('create a user', !(await call('CreatePassword', { password: user })).alreadyExists);
  check('verify a password', (await call('VerifyPassword', { email: user.email, password: 'password' })).verified);
  check('delete the user', !(await call('DeletePassword', { email: user.email })).notFound);
  const failure = await call('GetClient', { id: 'absent' }).catch((err) => err);
  check('an error', failure.code === grpc.status.UNKNOWN && failure.details === 'not found');
  client.close();
})().catch((err) => {
  console.error(err);
  process.exit(1);
});
