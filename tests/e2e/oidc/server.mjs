// oidc-provider in EarthScope's place: its own endpoints and pages, at EarthScope's paths. Its discovery document
// names them, so that it serves as any other service too.
//
// Options: `node server.mjs '{"rotate": true, "accessTokenLife": 3600, "interval": 1, "secret": "of the clients
// that have one", "key": "PEM of the client that has one"}'`. The first line on stdout is
// `{"url": "http://127.0.0.1:PORT"}`. It ends when its stdin does, so it never outlives a test.
import { createPublicKey } from 'node:crypto';
import { createServer } from 'node:http';

// The package tells on the console that this is no place for production; stdout is for the one line above.
console.info = () => {};
console.warn = () => {};
const { Provider } = await import('oidc-provider');

const { rotate = true, accessTokenLife = 3600, interval, secret, key } = JSON.parse(process.argv[2] ?? '{}');
const day = 24 * 60 * 60;
const paths = { device: '/oauth/device/code', token: '/oauth/token', revoke: '/oauth/revoke' };
const counts = { token_requests: 0, refreshes: 0, revocations: 0, grants_revoked: 0 };

const machine = (client_id, method, rest) => ({
  client_id,
  token_endpoint_auth_method: method,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  ...rest,
});
const machines = [];
if (secret) {
  machines.push(machine('by-basic', 'client_secret_basic', { client_secret: secret }));
  machines.push(machine('by-body', 'client_secret_post', { client_secret: secret }));
}
if (key) {
  const jwk = createPublicKey(key).export({ format: 'jwk' });
  machines.push(machine('by-key', 'private_key_jwt', { jwks: { keys: [jwk] } }));
}

const configuration = {
  clients: [
    ...machines,
    {
      client_id: 'broker-native',
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
      // Of a native app any port of it is taken (RFC 8252 section 7.3).
      redirect_uris: ['http://127.0.0.1/callback'],
      response_types: ['code'],
    },
    {
      client_id: 'broker-e2e',
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
      redirect_uris: [],
      response_types: [],
    },
  ],
  cookies: { keys: ['only for tests'] },
  features: {
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  issueRefreshToken: () => true,
  // Left alone, the package rotates for a public client, and a token used twice ends its grant.
  ...(rotate ? {} : { rotateRefreshToken: false }),
  routes: { device_authorization: paths.device, token: paths.token, revocation: paths.revoke },
  scopes: ['openid', 'offline_access'],
  ttl: {
    AccessToken: accessTokenLife,
    DeviceCode: 10 * 60,
    Grant: day,
    IdToken: 60 * 60,
    Interaction: 60 * 60,
    RefreshToken: day,
    Session: day,
  },
};

async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

// What the test reads, outside of OAuth.
async function tellCounts(ctx, next) {
  if (ctx.path !== '/__counts') return next();
  ctx.body = counts;
}

// Whose an access token is, if it is good.
async function tellWhose(ctx, next) {
  if (ctx.path !== '/__whose') return next();
  const { AccessToken, ClientCredentials } = provider;
  const { token } = ctx.query;
  const found = (await AccessToken.find(token)) ?? (await ClientCredentials.find(token));
  ctx.body = { client: found?.isValid ? found.clientId : null, account: found?.accountId ?? null };
}

async function count(ctx, next) {
  if (ctx.path === paths.token) counts.token_requests += 1;
  await next();
  if (ctx.path === paths.revoke && ctx.status === 200) counts.revocations += 1;
}

// EarthScope (Auth0) takes a revocation as JSON, RFC 7009 and this package as a form. A body that was read
// already is taken from `request.body`.
async function revokeByJson(ctx, next) {
  if (ctx.path === paths.revoke && ctx.is('application/json')) {
    ctx.req.body = JSON.parse(await bodyOf(ctx.req));
    ctx.req.headers['content-type'] = 'application/x-www-form-urlencoded';
  }
  await next();
}

// The package names no interval, which means five seconds: tests that log in on their way elsewhere ask for less.
async function pollEvery(ctx, next) {
  await next();
  if (interval && ctx.path === paths.device && ctx.status === 200) ctx.body = { ...ctx.body, interval };
}

let provider;
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  provider = new Provider(url, configuration);
  for (const middleware of [tellCounts, tellWhose, count, revokeByJson, pollEvery]) provider.use(middleware);
  provider.on('grant.success', (ctx) => {
    if (ctx.oidc.params.grant_type === 'refresh_token') counts.refreshes += 1;
  });
  provider.on('grant.revoked', () => {
    counts.grants_revoked += 1;
  });
  provider.on('server_error', (_ctx, error) => console.error(error));
  server.on('request', provider.callback());
  process.stdout.write(`${JSON.stringify({ url })}\n`);
});
process.stdin.on('close', () => process.exit()).resume();
