//! Conditions in the way of a request.

use crate::support::World;

const MODEL: &str = "model
  schema 1.1
type user
type agent
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

const TASKS: &str = "model
  schema 1.1
type user
type agent
type task
  relations
    define holder: [user with until, agent with until]
type account
  relations
    define can_read: [user, agent, task]
condition until(current_time: timestamp, end: timestamp) {
  current_time < end
}
";

#[test]
fn a_task_ends_at_its_second() {
    let tuple = |user: &str, relation: &str, object: &str, end: &str| {
        let condition = format!(", condition: {{ name: until, context: {{ end: {end} }} }}");
        let condition = if end.is_empty() { "" } else { &condition };
        format!("- {{ user: {user}, relation: {relation}, object: {object}{condition} }}\n")
    };
    for mode in ["all", "current"] {
        let routes = r#"
  - path: /accounts/{account}
    upstream: main
    operations:
      GET: { action: can_read, resource: "account:{path.account}" }
"#;
        let world = World { identity_more: format!("actors: {mode}"), ..World::with_routes(routes) };
        let end = (jiff::Timestamp::now() + std::time::Duration::from_secs(3)).as_second();
        let end = jiff::Timestamp::from_second(end).unwrap().to_string();
        let mut tuples = ["user:vp", "agent:ops"].map(|holder| tuple(holder, "holder", "task:sales", &end)).concat();
        tuples.push_str(&tuple("agent:planner", "holder", "task:sales", "2020-01-01T00:00:00Z"));
        for member in ["user:vp", "agent:ops", "agent:planner", "task:sales"] {
            tuples.push_str(&tuple(member, "can_read", "account:A-100", ""));
        }
        world.write("model.fga", TASKS);
        world.write("tuples.yaml", tuples);
        let portcullis = world.start();
        let within = |actors: &[&str]| {
            let mut claims = crate::support::claims("vp", actors);
            claims["task"] = "sales".into();
            world.issuer.sign(&claims)
        };
        // The planner is a prior actor, whose own time was over long ago.
        let by_planner = portcullis.get("/accounts/A-100", &within(&["ops", "planner"]));
        assert_eq!(by_planner.status, if mode == "all" { 403 } else { 200 }, "{}", by_planner.body);
        let (token, mut counts) = (within(&["ops"]), [0, 0]);
        // Some requests before that second, and some within it.
        while counts[1] < 20 {
            let answer = portcullis.get("/accounts/A-100", &token);
            // When the request had come: both are written in UTC, and so are compared as texts.
            let time = world.record_of(&answer)["time"].as_str().unwrap().to_owned();
            let is_over = time[..19] >= end[..19];
            let expected = if is_over { (403, "not_task_holder") } else { (200, "") };
            assert_eq!((answer.status, answer.reason().as_str()), expected, "at {time}, by {mode}, until {end}");
            counts[usize::from(is_over)] += 1;
        }
        assert!(counts[0] > 10, "{counts:?}");
    }
}
