// A certified OpenID provider, unmodified, as the issuer of a proxy's tokens: discovery, groups, rotation, outage.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import Provider from "oidc-provider";

import { startProxy, startServer, stopServer } from "./process.js";

const AUDIENCE = "https://api.acme.example";
const SECRET = "a secret of these tests, and of nothing else";

const MODEL = `model
  schema 1.1
type user
type agent
type group
  relations
    define member: [user, agent]
type document
  relations
    define viewer: [group#member]
    define can_read: viewer
`;

const keyOf = (kid) => ({
  ...generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" }),
  kid, use: "sig", alg: "ES256",
});

const urlOf = (server) => `http://127.0.0.1:${server.address().port}`;

// The provider signs with the first key and publishes all of them; another one takes its place when keys change.
let served = (_, response) => response.writeHead(503).end();
let issuer, idp, upstream, proxy, folder;

function provide(keys) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [{
      client_id: "reader", client_secret: SECRET, grant_types: ["client_credentials"], redirect_uris: [],
      response_types: [], id_token_signed_response_alg: "ES256",
    }],
    extraTokenClaims: (ctx) => ({ groups: (ctx.oidc.params.scope ?? "").includes("read") ? ["eng"] : [] }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        getResourceServerInfo: () => ({
          scope: "read", audience: AUDIENCE, accessTokenFormat: "jwt", accessTokenTTL: 300,
          jwt: { sign: { alg: "ES256" } },
        }),
      },
    },
  });
  served = provider.callback();
}

async function token(scope) {
  const answer = await fetch(`${issuer}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(`reader:${encodeURIComponent(SECRET)}`).toString("base64")}` },
    body: new URLSearchParams({ grant_type: "client_credentials", ...(scope && { scope }) }),
  });
  const body = await answer.json();
  assert.equal(answer.status, 200, JSON.stringify(body));
  return body.access_token;
}

const status = async (text) =>
  (await fetch(`${proxy.url}/documents/d1`, { headers: { authorization: `Bearer ${text}` } })).status;

async function eventually(what, look) {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await look()) return;
    await sleep(50);
  }
  assert.fail(`waited too long: ${what}`);
}

before(async () => {
  idp = await startServer((request, response) => served(request, response));
  issuer = urlOf(idp);
  upstream = await startServer((_, response) => response.end("{}"));
  provide([keyOf("k1")]);
  folder = mkdtempSync(join(tmpdir(), "portcullis-oidc-"));
  writeFileSync(join(folder, "model.fga"), MODEL);
  writeFileSync(join(folder, "tuples.yaml"), "- { user: group:eng#member, relation: viewer, object: document:d1 }\n");
  writeFileSync(join(folder, "portcullis.yaml"), `
listen: [{ address: 127.0.0.1:0 }]
telemetry: { address: 127.0.0.1:0 }
upstreams: { main: { url: "${urlOf(upstream)}" } }
identity:
  jwt:
    - issuer: ${issuer}
      audiences: [${AUDIENCE}]
      jwks: { discovery: true, refresh: 200ms }
      subject: "user:{sub}"
      client_subject: "agent:{sub}"
      contextual_tuples: [{ claim: groups, relation: member, object: "group:{it}" }]
policy:
  source: { file: { model: model.fga, tuples: tuples.yaml } }
audit: { file: audit.jsonl }
routes:
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
`);
  proxy = await startProxy(join(folder, "portcullis.yaml"));
});

after(async () => {
  await proxy.stop();
  [idp, upstream].forEach(stopServer);
  rmSync(folder, { recursive: true });
});

test("tokens of the provider are good by its metadata, and their groups count", async () => {
  const [of_group, of_none] = [await token("read"), await token()];
  await eventually("the keys are there", async () => (await status(of_group)) === 200);
  assert.equal(await status(of_none), 403);
  const [header, claims] = of_group.split(".");
  const other = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(claims, "base64url")), sub: "root" }));
  assert.equal(await status([header, other.toString("base64url"), of_group.split(".")[2]].join(".")), 401);
});

test("its keys rotate and it is out, and no good token is refused meanwhile", async () => {
  const [first, second] = [keyOf("k2"), keyOf("k3")];
  provide([first]);
  let current = await token("read");
  await eventually("the key is there", async () => (await status(current)) === 200);
  let stop = false;
  let asked = 0;
  const load = Promise.all([1, 2].map(async () => {
    while (!stop) {
      assert.equal(await status(current), 200);
      asked += 1;
    }
  }));
  provide([first, second]);
  // Out of order: signed by the new key, which is known once a token of it is good.
  provide([second, first]);
  const next = await token("read");
  await eventually("the new key is there", async () => (await status(next)) === 200);
  const before_ = current;
  current = next;
  served = (_, response) => response.writeHead(503).end();
  await sleep(1000);
  provide([second]);
  await eventually("the old key is gone", async () => (await status(before_)) === 401);
  stop = true;
  await load;
  assert(asked > 20, `there was load: ${asked}`);
});
