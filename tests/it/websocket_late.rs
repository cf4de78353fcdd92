//! WebSocket handshakes whose upstream takes its time.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::Duration,
};

use crate::support::{Connection, World, eventually};

const ROUTES: &str = r#"
  - path: /live/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}", upgrade: websocket }
"#;

#[test]
fn a_handshake_that_is_answered_late_is_decided_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nSECRET",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    ] {
        let world = World::with_routes(ROUTES);
        let portcullis = world.start_before(listener.local_addr().unwrap());
        let token = world.issuer.token("erin", &["reader"]);
        let mut connection = Connection::open(portcullis.data);
        connection.send(format!(
            "GET /live/d1 HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\nconnection: Upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        let (mut upstream, _) = listener.accept().unwrap();
        assert!(upstream.read(&mut [0; 4096]).unwrap() > 0);
        let taken = "- { user: user:erin, relation: member, object: group:staff }\n";
        world.replace("tuples.yaml", world.tuples().replace(taken, ""));
        portcullis.until_revision_above(1);
        thread::sleep(Duration::from_millis(600));
        upstream.write_all(answer.as_bytes()).unwrap();
        let told = connection.answer().unwrap();
        assert_eq!((told.status, told.reason().as_str()), (403, "not_permitted"));
        let record = eventually("the record", || world.audit().pop());
        assert_eq!(record["cut"], "not_permitted");
    }
}
