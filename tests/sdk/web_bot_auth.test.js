// An unmodified library for agents that sign their requests (Web Bot Auth), and a proxy that knows them by their directory.
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { HTTP_MESSAGE_SIGNATURES_DIRECTORY, MediaType, generateNonce, signatureHeaders } from "web-bot-auth";
import { signerFromJWK } from "web-bot-auth/crypto";

import { startProxy, startServer, stopServer } from "./process.js";

const MODEL = `model
  schema 1.1
type agent
type document
  relations
    define can_read: [agent]
    define can_write: [agent]
`;
const TUPLES = `- { user: agent:reader, relation: can_read, object: document:d1 }
- { user: agent:reader, relation: can_write, object: document:d1 }
`;
// Where there is no query the library signs an empty one as "", and RFC 9421 (section 2.2.7) as "?".
const COMPONENTS = ["@method", "@target-uri"];
const PARTS = ["@method", "@authority", "@path", "@query"];

const key = generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" });
let directory, upstream, received, proxy, folder;

const urlOf = (server) => `http://127.0.0.1:${server.address().port}`;

/** Sends a request that is signed as `signed` says, which by default is what is sent. */
async function send(
  { method = "GET", path = "/documents/d1", body, headers = {}, cover = COMPONENTS, components = [], ...params },
  signed = {},
) {
  const message = { method, url: proxy.url + path, headers, ...signed };
  const created = new Date();
  const signature = await signatureHeaders(message, await signerFromJWK(key), {
    created, expires: new Date(created.getTime() + 60_000), components: [...cover, ...components], ...params,
  });
  const answer = await fetch(proxy.url + path, { method, body, headers: { ...headers, ...signature } });
  await answer.arrayBuffer();
  return answer.status;
}

before(async () => {
  const { kty, crv, x } = key;
  directory = await startServer((request, response) => {
    const found = request.url === HTTP_MESSAGE_SIGNATURES_DIRECTORY;
    response.writeHead(found ? 200 : 404, { "content-type": MediaType.HTTP_MESSAGE_SIGNATURES_DIRECTORY });
    response.end(JSON.stringify({ keys: [{ kty, crv, x, use: "sig" }] }));
  });
  upstream = await startServer((request, response) => {
    received = request.headers;
    request.resume().on("end", () => response.end("{}"));
  });
  folder = mkdtempSync(join(tmpdir(), "portcullis-signatures-"));
  writeFileSync(join(folder, "model.fga"), MODEL);
  writeFileSync(join(folder, "tuples.yaml"), TUPLES);
  writeFileSync(join(folder, "portcullis.yaml"), `
listen: [{ address: 127.0.0.1:0 }]
telemetry: { address: 127.0.0.1:0 }
upstreams: { main: { url: "${urlOf(upstream)}" } }
identity:
  signatures:
    agents:
      - subject: agent:reader
        directory: { url: "${urlOf(directory)}${HTTP_MESSAGE_SIGNATURES_DIRECTORY}" }
policy:
  source: { file: { model: model.fga, tuples: tuples.yaml } }
audit: { file: audit.jsonl }
routes:
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
      PUT: { action: can_write, resource: "document:{path.document}" }
`);
  proxy = await startProxy(join(folder, "portcullis.yaml"));
  for (let tries = 0; (await send({})) !== 200; tries += 1) {
    assert(tries < 600, "the directory is fetched");
    await sleep(50);
  }
});

after(async () => {
  await proxy.stop();
  [directory, upstream].forEach(stopServer);
  rmSync(folder, { recursive: true });
});

test("an agent is known by the signatures that its library makes", async () => {
  assert.equal(await send({ path: "/documents/d1?page=2" }), 200);
  assert.equal(await send({ path: "/documents/d1?page=2", cover: PARTS }), 200);
  assert.equal(await send({ cover: ["@authority"] }), 401);
  assert.equal(received["portcullis-subject"], "agent:reader");
  assert.deepEqual(Object.keys(received).filter((name) => name.startsWith("signature")), []);
  assert.equal(await send({ path: "/documents/d2" }), 403);
  const by = (agent) => send({ headers: { "signature-agent": JSON.stringify(agent) }, components: ["signature-agent"] });
  assert.equal(await by(urlOf(directory)), 200);
  assert.equal(await by("https://other.example"), 401);
});

test("a signature is of one request, and a nonce is good once", async () => {
  assert.equal(await send({}, { url: `${proxy.url}/documents/d2` }), 401);
  assert.equal(await send({}, { method: "PUT" }), 401);
  assert.equal((await fetch(`${proxy.url}/documents/d1`)).headers.get("accept-signature").includes('"@path"'), true);
  const nonce = generateNonce();
  assert.equal(await send({ nonce }), 200);
  assert.equal(await send({ nonce }), 401);
});

test("a body is the one that was signed", async () => {
  const put = (body, signed) => {
    const digest = `sha-256=:${createHash("sha256").update(signed).digest("base64")}:`;
    return send({ method: "PUT", body, headers: { "content-digest": digest }, components: ["content-digest"] });
  };
  assert.equal(await put("{}", "{}"), 200);
  assert.equal(await put("[]", "{}"), 401);
  assert.equal(await send({ method: "PUT", body: "{}" }), 401);
});
