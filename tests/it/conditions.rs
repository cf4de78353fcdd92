//! Conditions in the way of a request.

use crate::support::World;

const MODEL: &str = "model
  schema 1.1
type user
type document
  relations
    define can_read: [user with until, user with by_level, user with in_rooms]
condition until(current_time: timestamp, end: timestamp) {
  current_time < end
}
condition by_level(level: int) {
  level > 3
}
condition in_rooms(current_time: timestamp, rooms: list<string>, room: string) {
  rooms.exists(other, other == room) && current_time > timestamp(room)
}
";

const TUPLES: &str = "
- user: user:erin
  relation: can_read
  object: document:open
  condition: { name: until, context: { end: 2100-01-01T00:00:00Z } }
- user: user:erin
  relation: can_read
  object: document:over
  condition: { name: until, context: { end: 2020-01-01T00:00:00Z } }
- user: user:erin
  relation: can_read
  object: document:high
  condition: { name: by_level }
- user: user:erin
  relation: can_read
  object: document:odd
  condition: { name: in_rooms, context: { rooms: [one], room: one } }
";

fn world() -> World {
    let routes = r#"
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
"#;
    let world = World { policy_more: String::new(), ..World::with_routes(routes) };
    world.write("model.fga", MODEL);
    world.write("tuples.yaml", TUPLES);
    world
}

#[test]
fn a_condition_decides_by_the_time_and_without_an_answer_denies() {
    let world = world();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    assert_eq!(portcullis.get("/documents/open", &token).status, 200);
    for (document, reason) in
        [("over", "not_permitted"), ("high", "missing_context"), ("odd", "condition_failed"), ("none", "not_permitted")]
    {
        let answer = portcullis.get(&format!("/documents/{document}"), &token);
        assert_eq!((answer.status, answer.reason().as_str()), (403, reason), "{document}");
        assert!(!answer.body.contains("level"), "the answer tells nothing of the policy");
    }
    let record = world.record_of(&portcullis.get("/documents/high", &token));
    assert!(record["detail"].as_str().unwrap().contains("level"), "{record}");
}

#[test]
fn a_question_brings_its_own_context() {
    let world = world();
    let ask = |command: &str, document: &str, context: &str| {
        let document = format!("document:{document}");
        let files = ["--model", "model.fga", "--tuples", "tuples.yaml", "--as", "user:erin", "--context", context];
        let output = world.run(&[&[command], &files[..], &["can_read", &document]].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(ask("check", "high", r#"{"level":4}"#).0, Some(0));
    assert_eq!(ask("check", "high", r#"{"level":3}"#).0, Some(1));
    assert_eq!(ask("check", "open", "{}").0, Some(0));
    assert_eq!(ask("check", "open", r#"{"current_time":"2100-01-01T00:00:00Z"}"#).0, Some(1));
    let (code, said) = ask("explain", "over", "{}");
    assert_eq!(code, Some(1));
    assert!(said.contains("its condition `until` does not hold"), "{said}");
    let (code, said) = ask("check", "high", "[]");
    assert_eq!(code, Some(2));
    assert!(said.contains("a context must be a JSON object"), "{said}");
}
