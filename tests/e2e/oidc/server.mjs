// oidc-provider with EarthScope's paths. Its discovery document names them, so it also serves as any other service.
//
// Options: `node server.mjs '{"rotate": true, "accessTokenLife": 3600, "interval": 1, "secret": "of the clients
// that have one", "key": "PEM of the client that has one"}'`. The first line on stdout is
// `{"url": "http://127.0.0.1:PORT"}`. It stops at the end of its stdin, so it never outlives a test.
import { createPublicKey } from 'node:crypto';
import { createServer } from 'node:http';

// The package writes warnings to the console; stdout is only for the line above.
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
      // For native apps any port is accepted (RFC 8252 section 7.3).
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
  // By default the package rotates refresh tokens of public clients, and ends the grant of a reused one.
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

// The counts, for the tests.
async function tellCounts(ctx, next) {
  if (ctx.path !== '/__counts') return next();
  ctx.body = counts;
}

// The owner of a valid access token, for the tests.
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

// EarthScope (Auth0) accepts a revocation as JSON; RFC 7009 and this package need a form. The package uses
// `request.body` if the body was read before.
async function revokeByJson(ctx, next) {
  if (ctx.path === paths.revoke && ctx.is('application/json')) {
    ctx.req.body = JSON.parse(await bodyOf(ctx.req));
    ctx.req.headers['content-type'] = 'application/x-www-form-urlencoded';
  }
  await next();
}

// The package sends no interval, which means five seconds; most tests set a shorter one.
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
