//! Connections that rest, and those that must not.

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{sleep, timeout},
};

use super::*;
use crate::net::{half_open::HalfOpen, joined::Joined, patient::Patient, unread::Unread};

const PAUSE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(600);
const ALWAYS: Times = Times { head: LONG, idle: LONG };
const ASKED: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// A connection with room for so much in each direction, which answers the body's length, after the time that the path
/// says in milliseconds.
fn serving(
    room: usize,
    times: Times,
) -> (Serving<DuplexStream, impl HttpService<Incoming, ResBody = Full<Bytes>> + Clone + Unpin>, DuplexStream) {
    let (near, far) = duplex(room);
    let io = HalfOpen::new(Joined::new(Unread::new(Patient::new(near), LONG)), LONG);
    let service = service_fn(|request: Request<Incoming>| {
        Box::pin(async move {
            let slow = request.uri().path().trim_start_matches('/').parse().unwrap_or(0);
            let body = request.into_body().collect().await.map(|body| body.to_bytes().len()).unwrap_or(0);
            sleep(Duration::from_millis(slow)).await;
            Ok::<_, Infallible>(Response::new(Full::from(format!("<{body}>"))))
        })
    });
    (Serving::resting_after(PAUSE, Guarded::new(io).0, service, times), far)
}

/// Ends a test that waits for what does not come.
async fn in_time(test: impl Future<Output = ()>) {
    timeout(2 * PATIENCE, test).await.expect("nothing is waited for in vain");
}

/// Serves until it rests.
macro_rules! rests {
    ($serving:expr) => {
        let mut rounds = 0;
        while !matches!($serving.stage, Stage::Resting(..)) {
            assert!(timeout(PAUSE, &mut $serving).await.is_err(), "it has ended");
            rounds += 1;
            assert!(rounds < 1000, "it does not rest");
        }
    };
}

/// Serves for a while, in which it must not rest.
macro_rules! stays {
    ($serving:expr) => {
        assert!(timeout(4 * PAUSE, &mut $serving).await.is_err(), "it has ended");
        assert!(matches!($serving.stage, Stage::Speaking(..)), "it rests");
    };
}

/// Serves until the client has got this at the end of an answer.
macro_rules! answers {
    ($serving:expr, $far:expr, $end:expr) => {
        let mut got = Vec::new();
        while !got.ends_with($end) {
            tokio::select! {
                read = timeout(PATIENCE, $far.read_buf(&mut got)) => assert!(read.expect("an answer").unwrap() > 0),
                _ = &mut $serving => panic!("it has ended"),
            }
        }
    };
}

#[tokio::test]
async fn a_connection_rests_between_requests_and_goes_on() {
    in_time(async {
        let (mut serving, mut far) = serving(4096, ALWAYS);
        // Before the first one too.
        rests!(serving);
        for _ in 0..3 {
            far.write_all(ASKED).await.unwrap();
            answers!(serving, far, b"<0>");
            rests!(serving);
        }
        // A head that is longer than what is looked at, in pieces.
        let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(HEAD_BYTES / 2));
        for piece in long.as_bytes().chunks(3000) {
            far.write_all(piece).await.unwrap();
            assert!(timeout(Duration::from_millis(1), &mut serving).await.is_err());
        }
        answers!(serving, far, b"<0>");
        rests!(serving);
        // Two at once, and an empty line after them.
        far.write_all(&[ASKED, ASKED, b"\r\n"].concat()).await.unwrap();
        answers!(serving, far, b"<0>");
        rests!(serving);
        far.write_all(ASKED).await.unwrap();
        answers!(serving, far, b"<0>");
    })
    .await;
}

#[tokio::test]
async fn what_has_begun_is_no_rest() {
    in_time(async {
        let (mut serving, mut far) = serving(64, ALWAYS);
        rests!(serving);
        for piece in [&ASKED[..1], &ASKED[1..20]] {
            far.write_all(piece).await.unwrap();
            stays!(serving);
        }
        far.write_all(&ASKED[20..]).await.unwrap();
        answers!(serving, far, b"<0>");
        // An answer that is not there yet.
        far.write_all(b"GET /150 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        stays!(serving);
        answers!(serving, far, b"<0>");
        // A body that has not come, at rest before.
        rests!(serving);
        far.write_all(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab").await.unwrap();
        stays!(serving);
        far.write_all(b"cde").await.unwrap();
        // An answer that has no room.
        stays!(serving);
        answers!(serving, far, b"<5>");
        rests!(serving);
        // A line end that is one, or none.
        far.write_all(b"\r").await.unwrap();
        stays!(serving);
    })
    .await;
}

#[tokio::test]
async fn a_rest_ends_with_the_client_with_its_time_or_in_order() {
    in_time(async {
        let (mut resting, far) = serving(4096, ALWAYS);
        rests!(resting);
        drop(far);
        resting.await.unwrap();

        let (mut resting, mut far) = serving(4096, Times { head: LONG, idle: 5 * PAUSE });
        rests!(resting);
        resting.await.unwrap();
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);

        // Empty lines are no request.
        let (resting, mut far) = serving(4096, Times { head: 10 * PAUSE, idle: 10 * PAUSE });
        let lines = async {
            // In one piece, and in two that come before the next rest.
            let pieces = [(&b"\r\n"[..], 2 * PAUSE), (b"\r", PAUSE / 10), (b"\n", 2 * PAUSE)];
            for (piece, after) in pieces.into_iter().cycle().take(90) {
                far.write_all(piece).await.unwrap();
                sleep(after).await;
            }
        };
        tokio::select! {
            _ended = resting => {}
            () = lines => panic!("it goes on"),
        }

        let (mut resting, mut far) = serving(4096, ALWAYS);
        rests!(resting);
        resting.graceful_shutdown();
        (&mut resting).await.unwrap();
        resting.graceful_shutdown();
        resting.await.unwrap();
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);

        // Not either after an empty line, which it was woken by.
        let (mut resting, mut far) = serving(4096, ALWAYS);
        rests!(resting);
        far.write_all(b"\r\n").await.unwrap();
        assert!(timeout(PAUSE / 4, &mut resting).await.is_err());
        resting.graceful_shutdown();
        resting.await.unwrap();

        // A head has its own time.
        let (mut begun, mut far) = serving(4096, Times { head: 6 * PAUSE, idle: LONG });
        rests!(begun);
        far.write_all(&ASKED[..9]).await.unwrap();
        assert!(begun.await.is_err());

        // Who has closed its side is answered first.
        let (mut resting, mut far) = serving(4096, ALWAYS);
        rests!(resting);
        far.write_all(ASKED).await.unwrap();
        far.shutdown().await.unwrap();
        resting.await.unwrap();
        let mut answer = String::new();
        far.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("<0>"), "{answer}");
    })
    .await;
}
