//! From one process to the next, without a connection that is refused or a request that fails.

use std::{
    net::SocketAddr,
    os::unix::net::UnixListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Builder;

use crate::support::{Connection, Portcullis, World, eventually, request, rounds};

fn world() -> World {
    World {
        more: "hand_over: { socket: hand-over.sock }\nadmin: { socket: admin.sock }\nlimits: { in_flight: 1000 }"
            .to_owned(),
        ..World::new()
    }
}

/// What clients do all the time, and what came of it.
#[derive(Default)]
struct Load {
    answered: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    /// Requests on a connection of each its own.
    fn anew(&self, address: SocketAddr, asking: &str) {
        while !self.over.load(Ordering::Relaxed) {
            let mut connection = Connection::open(address);
            connection.send(asking);
            self.take(connection.answer().map(|answer| answer.status));
        }
    }

    /// Requests on one connection, until an answer says that it is the last one.
    fn kept_alive(&self, address: SocketAddr, asking: &str) {
        while !self.over.load(Ordering::Relaxed) {
            let mut connection = Connection::open(address);
            loop {
                connection.send(asking);
                let answer = connection.answer();
                self.take(answer.as_ref().map(|answer| answer.status));
                let is_last = answer.is_some_and(|answer| answer.header("connection") == Some("close"));
                if is_last || self.over.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    }

    /// Requests on one connection of HTTP/2, until it takes no more.
    fn multiplexed(&self, address: SocketAddr, token: &str) {
        let asking = async {
            while !self.over.load(Ordering::Relaxed) {
                let stream = tokio::net::TcpStream::connect(address).await.unwrap();
                let (mut sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                while !self.over.load(Ordering::Relaxed) && sender.ready().await.is_ok() {
                    let request = Request::get("http://api.acme.example/documents/d1");
                    let request = request.header("authorization", format!("Bearer {token}"));
                    let sent = sender.try_send_request(request.body(Full::<Bytes>::default()).unwrap()).await;
                    match sent {
                        Ok(answer) => {
                            let status = answer.status().as_u16();
                            answer.into_body().collect().await.expect("the answer is whole");
                            self.take(Some(status));
                        }
                        // The connection took no more: not one byte of it was sent.
                        Err(mut failed) => match failed.take_message() {
                            Some(_) => break,
                            None => panic!("a request failed: {:?}", failed.into_error()),
                        },
                    }
                }
            }
        };
        Builder::new_current_thread().enable_all().build().unwrap().block_on(asking);
    }

    fn take(&self, status: Option<u16>) {
        assert_eq!(status, Some(200), "a request failed");
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    fn until_more(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("requests are answered", || (self.answered.load(Ordering::Relaxed) > before + 50).then_some(()));
    }
}

#[test]
fn processes_follow_each_other_under_load_and_nobody_notices() {
    let world = world();
    let mut serving = world.start();
    let address = serving.data;
    let token = world.issuer.token("erin", &["reader"]);
    let asking = request("GET", "/documents/d1", &token, "", "");
    let load = Arc::new(Load::default());
    let clients: Vec<_> = (0..8)
        .map(|n| {
            let (load, token, asking) = (Arc::clone(&load), token.clone(), asking.clone());
            thread::spawn(move || match n % 3 {
                0 => load.anew(address, &asking),
                1 => load.kept_alive(address, &asking),
                _ => load.multiplexed(address, &token),
            })
        })
        .collect();
    for _ in 0..rounds(10, 50) {
        load.until_more();
        let next = Portcullis::start(&world.path("portcullis.yaml"));
        assert_eq!(next.data, address, "it serves on the same socket");
        serving.until_logged("the next process serves");
        assert!(serving.wait().success(), "it ends in order");
        serving = next;
    }
    load.until_more();
    load.over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("no connection is refused and no request fails");
    }
    // The files are of the process that serves, and go with it.
    assert!(world.path("hand-over.sock").exists() && world.path("admin.sock").exists());
    let state = world.run(&["check", "--admin", "admin.sock", "--as", "user:erin", "can_read", "document:d1"]);
    assert!(state.status.success(), "the admin socket is the one of the process that serves");
    serving.signal("-TERM");
    assert!(serving.wait().success());
    assert!(!world.path("hand-over.sock").exists() && !world.path("admin.sock").exists());
}

#[test]
fn a_next_process_that_does_not_come_up_takes_nothing_over() {
    let listen = "- address: 127.0.0.1:0\n  - address: \"unix:data.sock\"".to_owned();
    let world = World { listen, ..world() };
    let portcullis = world.start();
    let token = world.issuer.token("erin", &["reader"]);
    // It is given the sockets and finds one place taken after that.
    let _taken = UnixListener::bind(world.path("taken.sock")).unwrap();
    world.write("other.yaml", world.config().replace("admin.sock", "taken.sock"));
    let said = Portcullis::try_start(&world.path("other.yaml")).err().expect("it does not start");
    assert!(said.contains("another process does"), "{said}");
    portcullis.until_logged("ended without serving");
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
    // Nor has it removed what is the other's, when it ended.
    assert!(world.path("data.sock").exists());
    // A stranger who asks and says nothing holds nobody up.
    let stranger = std::os::unix::net::UnixStream::connect(world.path("hand-over.sock")).unwrap();
    drop(stranger);
    let next = Portcullis::start(&world.path("portcullis.yaml"));
    assert!(portcullis.wait().success());
    assert_eq!(next.get("/documents/d1", &token).status, 200);
    assert!(world.path("data.sock").exists());
    next.signal("-TERM");
    assert!(next.wait().success());
    assert!(!world.path("data.sock").exists());
}

#[test]
fn what_listens_at_the_path_and_is_no_portcullis_is_an_error() {
    let world = world();
    world.write("portcullis.yaml", world.config());
    let stranger = UnixListener::bind(world.path("hand-over.sock")).unwrap();
    let answering = thread::spawn(move || {
        use std::io::Write;
        stranger.accept().unwrap().0.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let said = Portcullis::try_start(Path::new(&world.path("portcullis.yaml"))).err().expect("it does not start");
    assert!(said.contains("hand-over.sock` has passed is not understood"), "{said}");
    answering.join().unwrap();
}
