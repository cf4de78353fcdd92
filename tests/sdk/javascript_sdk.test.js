// OpenFGA's JavaScript SDK, unmodified, against `portcullis serve-openfga`.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";

import sdk from "@openfga/sdk";

const { CredentialsMethod, FgaApiAuthenticationError, FgaApiNotFoundError, FgaApiValidationError, OpenFgaClient } = sdk;
const model = JSON.parse(readFileSync(new URL("model.json", import.meta.url)));
const key = (user, relation, object, more = {}) => ({ user, relation, object, ...more });

async function serve(...options) {
  const process_ = spawn(process.env.PORTCULLIS, ["serve-openfga", "--listen", "127.0.0.1:0", ...options], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [apiUrl] = await once(createInterface(process_.stdout), "line");
  const stop = async () => {
    const ended = once(process_, "exit");
    process_.kill("SIGTERM");
    assert.equal((await ended)[0], 0);
  };
  return { apiUrl, stop };
}

let server;
before(async () => (server = await serve()));
after(() => server.stop());

// A client of a new store with the model and some tuples.
async function client() {
  const made = await new OpenFgaClient({ apiUrl: server.apiUrl }).createStore({ name: "javascript-sdk" });
  const opened = new OpenFgaClient({ apiUrl: server.apiUrl, storeId: made.id });
  opened.authorizationModelId = (await opened.writeAuthorizationModel(model)).authorization_model_id;
  await opened.write({
    writes: [
      key("user:erin", "viewer", "document:a"),
      key("user:bob", "viewer", "document:b"),
      key("user:erin", "member", "team:x"),
      key("team:x#member", "viewer", "document:c"),
      key("user:mia", "viewer", "document:a", { condition: { name: "small", context: {} } }),
    ],
  });
  return opened;
}

const refusedWith = (kind, code) => (error) => error instanceof kind && error.apiErrorCode === code;
const refused = (code) => refusedWith(FgaApiValidationError, code);

test("stores and models are made, read, listed and deleted", async () => {
  const c = await client();
  assert.equal((await c.getStore()).name, "javascript-sdk");
  assert((await c.listStores()).stores.some((store) => store.id === c.storeId));
  const first = c.authorizationModelId;
  assert.equal((await c.readAuthorizationModel()).authorization_model.id, first);
  const second = (await c.writeAuthorizationModel(model)).authorization_model_id;
  assert.equal((await c.readLatestAuthorizationModel()).authorization_model.id, second);
  const page = await c.readAuthorizationModels({ pageSize: 1 });
  assert.deepEqual(page.authorization_models.map((found) => found.id), [second]);
  await c.deleteStore();
  await assert.rejects(c.getStore(), refusedWith(FgaApiNotFoundError, "store_id_not_found"));
});

test("checks are answered", async () => {
  const c = await client();
  const allowed = async (question) => (await c.check(question)).allowed;
  assert(await allowed(key("user:erin", "can_view", "document:a")));
  assert(await allowed(key("user:erin", "can_view", "document:c")));
  assert(!(await allowed(key("user:bob", "can_view", "document:a"))));
  assert(await allowed({ ...key("user:mia", "can_view", "document:a"), context: { x: 1 } }));
  assert(!(await allowed({ ...key("user:mia", "can_view", "document:a"), context: { x: 10 } })));
  const contextualTuples = [key("user:bob", "viewer", "document:a")];
  assert(await allowed({ ...key("user:bob", "can_view", "document:a"), contextualTuples }));

  const checks = ["a", "b", "c"].map((id) => key("user:erin", "viewer", `document:${id}`, { correlationId: id }));
  const batch = await c.batchCheck({ checks });
  const answers = Object.fromEntries(batch.result.map((item) => [item.correlationId, item.allowed]));
  assert.deepEqual(answers, { a: true, b: false, c: true });
  const many = Array.from({ length: 120 }, (_, n) => key("user:erin", "viewer", `document:${n}`));
  assert.equal((await c.batchCheck({ checks: many })).result.length, 120);
  const each = await c.clientBatchCheck([
    key("user:erin", "viewer", "document:a"),
    key("user:erin", "owner", "document:a"),
  ]);
  // The answers come in any order.
  assert(each.result.find((item) => item._request.relation === "viewer").allowed);
  assert(each.result.find((item) => item._request.relation === "owner").error instanceof FgaApiValidationError);
});

test("lists are answered", async () => {
  const c = await client();
  const question = { user: "user:erin", relation: "can_view", type: "document" };
  assert.deepEqual((await c.listObjects(question)).objects.sort(), ["document:a", "document:c"]);
  const streamed = [];
  for await (const found of c.streamedListObjects(question)) streamed.push(found.object);
  assert.deepEqual(streamed.sort(), ["document:a", "document:c"]);
  const relations = { user: "user:erin", object: "document:a", relations: ["viewer", "blocked"] };
  assert.deepEqual((await c.listRelations(relations)).relations, ["viewer"]);
  const { users } = await c.listUsers({
    object: { type: "document", id: "a" },
    relation: "can_view",
    user_filters: [{ type: "user" }],
    context: { x: 1 },
  });
  assert.deepEqual(users.map((user) => user.object.id).sort(), ["erin", "mia"]);
  const { tree } = await c.expand({ relation: "viewer", object: "document:a" });
  assert.deepEqual(tree.root.leaf.users.users, ["user:erin", "user:mia"]);
});

test("tuples and changes are read by pages", async () => {
  const c = await client();
  const page = await c.read({ object: "document:a" }, { pageSize: 1 });
  const last = await c.read({ object: "document:a" }, { pageSize: 1, continuationToken: page.continuation_token });
  assert.deepEqual([page, last].map(({ tuples }) => tuples[0].key.user), ["user:erin", "user:mia"]);
  assert.equal(last.continuation_token, "");
  await c.deleteTuples([key("user:bob", "viewer", "document:b")]);
  const changes = await c.readChanges({ type: "document" }, { pageSize: 2 });
  assert.equal(changes.changes.length, 2);
  const rest = await c.readChanges({ type: "document" }, { continuationToken: changes.continuation_token });
  assert.deepEqual(rest.changes.map((change) => change.operation), [
    "TUPLE_OPERATION_WRITE",
    "TUPLE_OPERATION_WRITE",
    "TUPLE_OPERATION_DELETE",
  ]);
});

test("writes are whole, or each by itself", async () => {
  const c = await client();
  const [known, fresh] = [key("user:erin", "viewer", "document:a"), key("user:new", "viewer", "document:a")];
  await assert.rejects(c.write({ writes: [fresh, known] }), refused("write_failed_due_to_invalid_input"));
  assert(!(await c.check(fresh)).allowed);
  const each = await c.write({ writes: [fresh, known] }, { transaction: { disable: true, maxPerChunk: 1 } });
  const became = Object.fromEntries(each.writes.map((write) => [write.tuple_key.user, write.status]));
  assert.deepEqual(became, { "user:new": "success", "user:erin": "failure" });
  assert((await c.check(fresh)).allowed);
  await c.write({ writes: [known] }, { conflict: { onDuplicateWrites: "ignore" } });
  await c.deleteTuples([fresh]);
  assert(!(await c.check(fresh)).allowed);
});

test("assertions are kept", async () => {
  const c = await client();
  assert.deepEqual((await c.readAssertions()).assertions, []);
  await c.writeAssertions([{ ...key("user:erin", "can_view", "document:a"), expectation: true }]);
  assert.equal((await c.readAssertions()).assertions[0].tuple_key.user, "user:erin");
});

test("refusals are errors of their kind", async () => {
  const c = await client();
  await assert.rejects(c.check(key("user:erin", "owner", "document:a")), refused("validation_error"));
  await assert.rejects(c.check(key("user:mia", "can_view", "document:a")), refused("validation_error"));
  const invalid = { contextualTuples: [key("user:erin", "can_view", "document:a")] };
  await assert.rejects(c.check({ ...key("user:erin", "viewer", "document:a"), ...invalid }), refused("invalid_tuple"));
  const folders = { user: "user:erin", relation: "can_view", type: "folder" };
  await assert.rejects(c.listObjects(folders), refused("type_not_found"));
  const broken = { schema_version: "1.1", type_definitions: [{ type: "a", relations: { r: { this: {} } } }] };
  await assert.rejects(c.writeAuthorizationModel(broken), refused("invalid_authorization_model"));
});

test("a token is asked for", async () => {
  const guarded = await serve("--token", "secret");
  const credentials = { method: CredentialsMethod.ApiToken, config: { token: "secret" } };
  await assert.rejects(new OpenFgaClient({ apiUrl: guarded.apiUrl }).listStores(), FgaApiAuthenticationError);
  const allowed = new OpenFgaClient({ apiUrl: guarded.apiUrl, credentials });
  assert.deepEqual((await allowed.listStores()).stores, []);
  await guarded.stop();
});
