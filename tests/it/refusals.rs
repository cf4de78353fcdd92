//! Floods of bad credentials, and which kinds of credentials routes ask for.

use http::{Request, Version};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::support::{Answer, Connection, World, answer_of, eventually, request};

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.reason())
}

pub(crate) fn keys(world: &mut World) -> String {
    let output = world.run(&["key", "new", "--subject", "user:erin"]);
    assert!(output.status.success());
    let entry = String::from_utf8(output.stderr).unwrap();
    world.identity_more = format!("api_keys:\n    keys:\n{entry}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_connection_ends_with_its_tenth_bad_credential_within_a_second() {
    let world = World::new();
    let portcullis = world.start();
    let good = world.issuer.token("erin", &[]);
    // Sent at once, so that no pause between two of them counts.
    let bad = request("GET", "/documents/d1", "e30.e30.e30", "", "");
    let flood = bad.repeat(12) + &request("GET", "/documents/d1", &good, "", "");
    // On a machine that stands still for a second in the midst of it, once more.
    let (mut connection, answers) = eventually("a flood without a pause", || {
        let mut connection = Connection::open(portcullis.data);
        connection.send(request("GET", "/documents/d1", &good, "", ""));
        assert_eq!(connection.answer().unwrap().status, 200);
        connection.send(&flood);
        let mut answers: Vec<Answer> = Vec::new();
        while answers.len() < 13
            && let Some(answer) = connection.answer()
        {
            answers.push(answer);
        }
        // Nothing after the tenth is looked at.
        (answers.len() == 10).then_some((connection, answers))
    });
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(told(answer), (401, "invalid_credential".to_owned()));
        assert_eq!(answer.header("connection") == Some("close"), index == 9, "{index}: {}", answer.head);
    }
    assert!(connection.is_closed());
    assert_eq!(portcullis.get("/documents/d1", &good).status, 200, "another connection is another");
    // Those who send nothing have nothing to be refused.
    let mut silent = Connection::open(portcullis.data);
    for _ in 0..15 {
        silent.send(request("GET", "/documents/d1", "", "", ""));
        assert_eq!(told(&silent.answer().unwrap()), (401, "missing_credential".to_owned()));
    }
}

#[test]
fn an_http_2_connection_ends_with_its_tenth_bad_credential() {
    let world = World::new();
    let portcullis = world.start();
    let good = world.issuer.token("erin", &[]);
    let get = |token: &str| {
        Request::get("http://api.acme.example/documents/d1")
            .version(Version::HTTP_2)
            .header("authorization", format!("Bearer {token}"))
            .body(Full::<bytes::Bytes>::default())
            .unwrap()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(portcullis.data).await.unwrap();
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        let ended = tokio::spawn(connection);
        assert_eq!(sender.send_request(get(&good)).await.unwrap().status(), 200);
        // The last ten of them are within a second; those before may be within another one.
        let flood: Vec<_> = (0..60).map(|_| sender.send_request(get("e30.e30.e30"))).collect();
        let (mut checked, mut unchecked) = (0, 0);
        for answer in flood {
            // What came after the end was not served at all.
            match answer.await.map(|answer| answer.status().as_u16()) {
                Ok(401) => checked += 1,
                Ok(429) => unchecked += 1,
                Ok(other) => panic!("{other}"),
                Err(_) => {}
            }
        }
        assert!((10..20).contains(&checked), "{checked} were looked at, and {unchecked} more refused unseen");
        let patience = std::time::Duration::from_secs(30);
        tokio::time::timeout(patience, ended).await.expect("the connection ends").unwrap().unwrap();
        assert!(sender.send_request(get(&good)).await.is_err(), "the connection is over");
    });
    assert_eq!(portcullis.get("/documents/d1", &good).status, 200);
    let refused = eventually("all are recorded", || {
        let records = world.audit();
        let of = |reason: &str| records.iter().filter(|record| record["reason"] == reason).count();
        (of("invalid_credential") >= 10).then(|| of("too_many_refusals"))
    });
    assert!(refused <= 50);
}

#[test]
fn a_source_that_guesses_keys_is_not_heard_for_a_while() {
    let mut world = World::new();
    let good = keys(&mut world);
    let portcullis = world.start();
    let ask = |key: &str| {
        let head = "GET /documents/d1 HTTP/1.1\r\nhost: api.acme.example\r\nconnection: close\r\n";
        answer_of(portcullis.data, format!("{head}x-api-key: {key}\r\n\r\n")).unwrap()
    };
    assert_eq!(ask(&good).status, 200);
    let wrong = format!("{}{}", &good[..good.len() - 1], if good.ends_with('x') { 'y' } else { 'x' });
    let first = ask(&wrong);
    assert_eq!(told(&first), (401, "invalid_credential".to_owned()));
    let over = eventually("the source is not heard", || {
        let answer = ask(&wrong);
        (answer.status != 401).then_some(answer)
    });
    assert_eq!((told(&over), over.header("retry-after")), ((429, "too_many_refusals".to_owned()), Some("1")));
    assert_eq!(world.record_of(&over)["detail"], "too many API keys of this source were refused");
    // Tokens of the same source are heard, and keys again after a while.
    assert_eq!(portcullis.get("/documents/d1", &world.issuer.token("erin", &[])).status, 200);
    eventually("the source is heard again", || (ask(&good).status == 200).then_some(()));
}

#[test]
fn routes_say_which_kinds_of_credentials_they_take() {
    let mut world = World::with_routes(
        r#"
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
  - path: /keys/{document}
    upstream: main
    authentication: { one_of: [api_key] }
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
  - path: /any/{document}
    upstream: main
    authentication: { one_of: [jwt, api_key] }
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
"#,
    );
    let key = keys(&mut world);
    world.identity_more = format!("authentication: {{ one_of: [jwt] }}\n  {}", world.identity_more);
    let portcullis = world.start();
    let (token, bad) = (world.issuer.token("erin", &[]), "e30.e30.e30");
    let by_key = format!("x-api-key: {key}\r\n");
    let refused = (401, "invalid_credential".to_owned());
    for (path, token, field, expected) in [
        ("/documents/d1", &*token, "", (200, String::new())),
        ("/documents/d1", "", &*by_key, refused.clone()),
        ("/documents/d1", "", "", (401, "missing_credential".to_owned())),
        ("/keys/d1", "", &by_key, (200, String::new())),
        ("/keys/d1", &token, "", refused.clone()),
        ("/keys/d1", &token, &by_key, refused.clone()),
        ("/keys/d1", bad, &by_key, refused.clone()),
        ("/any/d1", "", &by_key, (200, String::new())),
        ("/any/d1", &token, "", (200, String::new())),
        ("/any/d1", &token, &by_key, refused.clone()),
        ("/any/d1", bad, &by_key, refused),
    ] {
        let answer = portcullis.request("GET", path, token, field, "");
        assert_eq!(told(&answer), expected, "{path} {} {}", token.len(), field.len());
    }
}

#[test]
fn what_is_wrong_with_authentication_has_its_place() {
    let mut world = World::new();
    keys(&mut world);
    let keys = world.identity_more.clone();
    for (written, says) in [
        ("{}", "has exactly one of `one_of` and `all_of`"),
        ("{ one_of: [jwt], all_of: [jwt] }", "has exactly one of `one_of` and `all_of`"),
        ("{ one_of: [] }", "no kind of credentials is named"),
        ("{ all_of: [jwt, spiffe] }", "`spiffe` is not configured in `identity`"),
        ("{ one_of: [jwt, jwt] }", "`jwt` is named twice"),
        ("{ all_of: [jwt, api_key] }", "a token and an API key never come together"),
        ("{ one_of: [basic] }", "basic"),
    ] {
        world.identity_more = format!("authentication: {written}\n  {keys}");
        world.write("portcullis.yaml", world.config());
        let output = world.run(&["validate", "--config", "portcullis.yaml"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(says) && said.contains("portcullis.yaml:"), "{says}: {said}");
    }
}
