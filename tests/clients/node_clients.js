// Node's fetch, undici and node:http2 as clients. They are told of the proxy in WORLD.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { connect } from "node:http2";

import { Agent, Client, request as undiciRequest } from "undici";

const { clear, tls, key, ca } = JSON.parse(process.env.WORLD);
const authority = readFileSync(ca);
const headers = { "x-api-key": key };
const LARGE = Buffer.alloc(3_000_000, "x");

async function byFetch() {
  const many = Array.from({ length: 50 }, async (_, number) => {
    const answer = await fetch(`${clear}/node/q1/echo`, { method: "POST", body: `${number}`, headers });
    assert.equal(await answer.text(), `${number}`);
  });
  await Promise.all(many);
  const stream = new ReadableStream({
    pull(controller) {
      this.sent = (this.sent ?? 0) + 1;
      if (this.sent > 50) return controller.close();
      controller.enqueue(Buffer.alloc(50_000, "y"));
    },
  });
  const told = await fetch(`${clear}/node2/q1/sum`, { method: "POST", body: stream, duplex: "half", headers });
  assert.equal((await told.json()).bytes, 2_500_000);
  const denied = await fetch(`${clear}/node/q2/ok`, { headers });
  assert.equal(denied.status, 403);
  assert.equal(denied.headers.get("content-type"), "application/problem+json");
  assert.equal((await denied.json()).reason, "not_permitted");
  const cut = new AbortController();
  const long = await fetch(`${clear}/node/q1/bytes?size=50000000`, { headers, signal: cut.signal });
  assert.equal(long.status, 200);
  cut.abort();
}

async function byUndici() {
  const client = new Client(clear, { pipelining: 5 });
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, number) => client.request({ method: "GET", path: `/node/q1/ok?${number}`, headers })),
  );
  for (const answer of answers) assert.equal(await answer.body.text(), "ok");
  await client.close();
  const dispatcher = new Agent({ allowH2: true, connect: { ca: authority } });
  const two = Array.from({ length: 20 }, async () => {
    const { statusCode, body } = await undiciRequest(`${tls}/nginxs/q1/echo`, {
      method: "POST", body: LARGE.subarray(0, 200_000), headers, dispatcher,
    });
    assert.equal(statusCode, 200);
    assert.equal((await body.arrayBuffer()).byteLength, 200_000);
  });
  await Promise.all(two);
  await dispatcher.close();
}

async function onSession(origin) {
  const session = connect(origin, { ca: authority });
  const one = async (path, { method = "GET", body } = {}) => {
    const stream = session.request({ ":path": path, ":method": method, ...headers });
    let trailers;
    stream.on("trailers", (fields) => (trailers = fields));
    stream.end(body);
    const [head] = await once(stream, "response");
    let length = 0;
    for await (const piece of stream) length += piece.length;
    return { status: head[":status"], length, trailers };
  };
  const many = await Promise.all(Array.from({ length: 60 }, (_, number) => one(`/nginx2/q1/small?${number}`)));
  assert(many.every(({ status, length }) => status === 200 && length === 2));
  const echoed = await one("/node2/q1/echo", { method: "PUT", body: LARGE });
  assert.equal(echoed.length, LARGE.length);
  const { trailers } = await one("/node2/q1/trailers");
  assert.equal(trailers["x-checksum"], "abc");
  assert.equal((await one("/node/q2/ok")).status, 403);
  // A stream that is reset in its middle ends alone.
  const reset = session.request({ ":path": "/node/q1/bytes?size=50000000", ...headers });
  await once(reset, "response");
  reset.close(8);
  assert.equal((await one("/node/q1/ok")).status, 200);
  await new Promise((resolve) => session.ping(() => resolve()));
  session.close();
}

// A WebSocket connection on a stream of HTTP/2 (RFC 8441), beside other streams.
async function byStream(origin) {
  const session = connect(origin, { ca: authority });
  const [settings] = await once(session, "remoteSettings");
  assert(settings.enableConnectProtocol);
  const open = async (report) => {
    const stream = session.request({
      ":method": "CONNECT", ":protocol": "websocket", ":path": `/live/${report}`, "sec-websocket-version": "13", ...headers,
    });
    const [head] = await once(stream, "response");
    return [head[":status"], stream];
  };
  const [status, stream] = await open("q1");
  assert.equal(status, 200);
  for (const text of ["hello", "again"]) {
    const mask = Buffer.from([1, 2, 3, 4]);
    const masked = Buffer.from(text).map((byte, at) => byte ^ mask[at % 4]);
    stream.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length]), mask, masked]));
    const [frame] = await once(stream, "data");
    assert.equal(frame.subarray(2).toString(), text);
  }
  const [refused, denial] = await open("q2");
  assert.equal(refused, 403);
  denial.close();
  stream.end();
  await once(stream, "close");
  session.close();
}

async function byHttp() {
  const agent = new HttpAgent({ keepAlive: true, maxSockets: 1 });
  const ports = new Set();
  for (let number = 0; number < 10; number++) {
    const request = httpRequest(`${clear}/node/q1/echo`, { agent, method: "POST", headers: { ...headers, expect: "100-continue" } });
    await once(request, "continue");
    request.end(LARGE);
    const [answer] = await once(request, "response");
    ports.add(answer.socket.localPort);
    let length = 0;
    for await (const piece of answer) length += piece.length;
    assert.equal(length, LARGE.length);
  }
  assert.equal(ports.size, 1, "the connection was used again");
  // What is denied is denied before the client is told to go on.
  const refused = httpRequest(`${clear}/node/q2/echo`, { agent, method: "POST", headers: { ...headers, expect: "100-continue" } });
  refused.on("continue", () => assert.fail("it was told to go on"));
  refused.flushHeaders();
  const [answer] = await once(refused, "response");
  assert.equal(answer.statusCode, 403);
  answer.resume();
  refused.destroy();
  agent.destroy();
}

await byFetch();
await byUndici();
await byHttp();
for (const origin of [clear, tls]) {
  await onSession(origin);
  await byStream(origin);
}
process.exit(0);
