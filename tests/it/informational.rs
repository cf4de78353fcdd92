//! Answers before the answer, expectations, and answers without a body.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread,
};

use crate::support::{Connection, World, connect, eventually, http2_request, request, runtime, whole};

const LATER: &str = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";

#[test]
fn informational_answers_of_an_upstream_end_here() {
    let world = World::new();
    world.upstream.answer_with(format!("{LATER}HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfinal"));
    let portcullis = world.start();
    let token = world.issuer.token("erin", &["reader"]);
    let mut connection = Connection::open(portcullis.data);
    for _ in 0..3 {
        connection.send(request("GET", "/documents/d1", &token, "", ""));
        let answer = connection.answer().unwrap();
        assert_eq!((answer.status, answer.body.as_str(), answer.header("link")), (200, "final", None));
    }
    runtime().block_on(async {
        let mut client = connect(portcullis.data).await;
        let (answer, _) = client.send_request(http2_request("GET", "/documents/d1", &token), true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().get("link")), (200, None));
        assert_eq!(whole(&mut answer.into_body()).await.0, b"final");
    });
    // No answer follows: what came is none.
    world.upstream.answer_with("HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n");
    assert_eq!(portcullis.get("/documents/d1", &token).reason(), "upstream_malformed");
}

#[test]
fn who_expects_to_continue_is_told_after_the_decision() {
    let world = World::new();
    let portcullis = world.start();
    let expects = "expect: 100-continue\r\ncontent-length: 4\r\n";
    let mut connection = Connection::open(portcullis.data);
    connection.send(request("PUT", "/documents/d1", &world.issuer.token("erin", &[]), expects, ""));
    assert_eq!(connection.answer().unwrap().status, 100);
    connection.send("body");
    assert_eq!(connection.answer().unwrap().status, 200);
    let seen = world.upstream.last();
    assert!(seen.ends_with("\r\n\r\nbody") && !seen.to_ascii_lowercase().contains("expect:"), "{seen}");
    let mut denied = Connection::open(portcullis.data);
    denied.send(request("PUT", "/documents/d1", &world.issuer.token("mara", &[]), expects, ""));
    assert_eq!(denied.answer().unwrap().status, 403, "and never 100");
    assert_eq!(world.upstream.seen().len(), 1);
}

/// An upstream that answers each connection with these bytes, and closes it when it is told.
fn once(answer: &'static str) -> (SocketAddr, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, (close, closing)) = (listener.local_addr().unwrap(), mpsc::channel());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
            let _ = closing.recv();
        }
    });
    (address, close)
}

#[test]
fn answers_without_a_body_end_for_clients_of_both_protocols() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &["reader"]);
    for (method, head, status) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n", 200),
        ("HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n", 200),
        ("GET", "HTTP/1.1 204 No Content\r\n", 204),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\netag: \"a\"\r\n", 304),
    ] {
        world.upstream.answer_with(format!("{head}\r\n"));
        let mut connection = Connection::open(portcullis.data);
        for _ in 0..2 {
            connection.send(request(method, "/documents/d1", &token, "", ""));
            let answer = connection.answer_to(method).unwrap();
            assert_eq!((answer.status, answer.body.as_str()), (status, ""), "{head}");
            let record = world.record_of(&answer);
            assert_eq!((&record["complete"], &record["bytes"]["response"]), (&true.into(), &0.into()), "{record}");
        }
        runtime().block_on(async {
            let mut client = connect(portcullis.data).await;
            let (answer, _) = client.send_request(http2_request(method, "/documents/d1", &token), true).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), status, "{head}");
            assert!(!answer.headers().contains_key("transfer-encoding"));
            assert!(whole(&mut answer.into_body()).await.0.is_empty(), "{head}");
        });
    }
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n",
    ] {
        let (address, close) = once(answer);
        let world = World::new();
        let portcullis = world.start_before(address);
        let token = world.issuer.token("erin", &["reader"]);
        runtime().block_on(async {
            let mut client = connect(portcullis.data).await;
            let (answer, _) = client.send_request(http2_request("GET", "/documents/d1", &token), true).unwrap();
            let mut body = answer.await.unwrap().into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "short");
            close.send(()).unwrap();
            assert!(body.data().await.unwrap().is_err(), "it is reset");
        });
        assert_eq!(eventually("the record", || world.audit().pop())["complete"], false);
    }
}
