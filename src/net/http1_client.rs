//! Requests to upstreams by HTTP/1.1: connections are kept alive, and reused after a complete exchange only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use foldhash::fast::RandomState;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{
    body::{OutboundBody, UpstreamBody},
    client::{ClientError, Failed, Fate, broken, secure, slot},
    http1_connection::Connection,
    retries::safe,
    target::{Origin, Target, Times},
    terms::WANTED,
};

/// In ALPN (RFC 7301).
pub(super) const HTTP1: &[u8] = b"http/1.1";
/// At most this many idle connections to one upstream are kept by one worker.
const IDLE_CONNECTIONS: usize = 128;
/// At most this many idle connections to hosts that clients choose are kept by one worker: of these hosts there may be any
/// number.
pub(super) const IDLE_REQUESTED: usize = 256;
/// A connection that breaks within this time of a request was most likely closed before its upstream knew of that.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How often connections are closed that are of no more use.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

type Pool = Arc<Mutex<Resting>>;

#[derive(Debug, Default)]
struct Resting {
    origins: HashMap<Origin, Vec<Connection>, RandomState>,
    // Of hosts that clients choose: not fewer than there are, and counted anew before they are too many.
    requested: usize,
    // Somebody closes those that are of no more use.
    is_swept: bool,
}

impl Resting {
    /// Makes room for one more connection to a host that a client has chosen: of as many as there may be, the one that has
    /// rested longest is closed.
    fn make_room(&mut self) {
        self.requested += 1;
        if self.requested <= IDLE_REQUESTED {
            return;
        }
        let is_requested = |(origin, _): &(&Origin, &mut Vec<Connection>)| origin.is_requested();
        self.requested = 1 + self.origins.iter_mut().filter(is_requested).map(|(_, idle)| idle.len()).sum::<usize>();
        if self.requested <= IDLE_REQUESTED {
            return;
        }
        let resting = self.origins.iter_mut().filter(is_requested).filter(|(_, idle)| !idle.is_empty());
        if let Some((_, oldest)) = resting.min_by_key(|(_, idle)| idle.first().map(Connection::resting)) {
            oldest.remove(0);
            self.requested -= 1;
        }
    }
}

/// The HTTP/1.1 connections of one worker.
#[derive(Debug, Clone, Default)]
pub(super) struct Http1Connections {
    pool: Pool,
}

/// A connection on loan: it goes back once its exchange is complete, or is closed.
#[derive(Debug)]
pub(super) struct Lease {
    connection: Connection,
    pool: Pool,
}

impl Lease {
    /// Returns the connection, if it can be lent again.
    pub(super) fn give_back(self) {
        let Self { mut connection, pool: shared } = self;
        if !connection.rest(Instant::now()) {
            return;
        }
        let mut pool = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if !pool.is_swept {
            pool.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(&shared)));
        }
        if connection.origin().is_requested() {
            pool.make_room();
        }
        let Some(idle) = pool.origins.get_mut(connection.origin()) else {
            pool.origins.insert(connection.origin().clone(), vec![connection]);
            return;
        };
        if idle.len() >= IDLE_CONNECTIONS {
            // The oldest, which the upstream has most likely closed.
            idle.remove(0);
        }
        idle.push(connection);
    }
}

impl Http1Connections {
    /// Sends the request, begun at this time, and waits for the head of the answer.
    ///
    /// A request that is safe and has no body is sent once more, on a new connection, if the one that it was sent on had
    /// rested and broke at once, before one byte of an answer: its upstream has most likely closed it in the same moment
    /// (RFC 9112, section 9.3.1). Not where there are rules for what is sent again.
    pub(super) async fn send(
        &self,
        (target, times): (&Target, Times),
        mut request: Box<Request<OutboundBody>>,
        mut begun: Instant,
    ) -> Result<Response<UpstreamBody>, Box<Failed>> {
        let (mut is_again, first) = (false, begun);
        loop {
            let reused = if is_again { None } else { self.take(&target.origin, begun) };
            let is_reused = reused.is_some();
            let may_be_closing = reused.as_ref().is_some_and(|reused| reused.may_be_closing(begun));
            let again = if may_be_closing && target.terms.sends_again { safe(&mut request) } else { None };
            let mut connection = match reused {
                Some(connection) => connection,
                None => {
                    // Rare and large: in a box of its own, so that it does not make every request's future larger.
                    match Box::pin(connect(target, times.connect)).await {
                        Ok(connection) => {
                            // All attempts to be answered have the time of one.
                            begun = if is_again { first } else { Instant::now() };
                            connection
                        }
                        Err(error) => return Err(Failed::new(error, fate(request, is_again))),
                    }
                }
            };
            match connection.send(*request, begun, times.response).await {
                // hyper would ask the next one by HTTP/1.0 too, which has no body without a length: it would lose it.
                Some(Ok(response)) if response.version() == Version::HTTP_10 => {
                    return Ok(response.map(UpstreamBody::alone));
                }
                Some(Ok(response)) => {
                    let lease = Lease { connection, pool: Arc::clone(&self.pool) };
                    return Ok(response.map(|incoming: Incoming| UpstreamBody::new(incoming, lease)));
                }
                Some(Err(mut failed)) => match failed.take_message() {
                    Some(unsent) if is_reused => request = again.unwrap_or_else(|| Box::new(unsent)),
                    Some(unsent) => {
                        let error = broken(failed.into_error());
                        return Err(Failed::new(error, fate(Box::new(unsent), is_again)));
                    }
                    None => {
                        let has_begun = connection.has_begun();
                        let at_once = Instant::now().saturating_duration_since(first) < AT_ONCE;
                        let Some(same) = again.filter(|_| at_once && !has_begun) else {
                            let fate = if has_begun { Fate::Over } else { Fate::Unanswered };
                            return Err(Failed::new(broken(failed.into_error()), fate));
                        };
                        same.body().attempted();
                        (request, is_again) = (same, true);
                    }
                },
                None => return Err(Failed::new(ClientError::ResponseTimeout, Fate::Over)),
            }
        }
    }

    /// Takes a connection in that nobody has used yet: the next request to its origin finds it.
    pub(super) async fn take_in(&self, mut connection: Connection) -> hyper::Result<()> {
        // Before it has begun to read it takes no request.
        connection.ready().await?;
        Lease { connection, pool: Arc::clone(&self.pool) }.give_back();
        Ok(())
    }

    /// Connects within the limit, for the next request to the target.
    pub(super) async fn connect(&self, target: &Target, limit: Duration) -> Result<(), ClientError> {
        let connection = connect(target, limit).await?;
        self.take_in(connection).await.map_err(ClientError::Broken)
    }

    /// Whether the next request to the origin finds a connection.
    pub(super) fn has(&self, origin: &Origin, now: Instant) -> bool {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.origins.get(origin).is_some_and(|idle| idle.iter().any(|one| !one.is_old(now) && one.is_ready(now)))
    }

    /// A connection whose last exchange is complete, the youngest first.
    fn take(&self, origin: &Origin, now: Instant) -> Option<Connection> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let Resting { origins, requested, .. } = &mut *pool;
        let idle = origins.get_mut(origin)?;
        if idle.first().is_some_and(|oldest| oldest.is_old(now)) {
            idle.retain(|one| !one.is_old(now) && !one.is_over(now));
        }
        for index in (0..idle.len()).rev() {
            let connection = idle.get(index)?;
            if connection.is_ready(now) {
                *requested = requested.saturating_sub(usize::from(origin.is_requested()));
                return Some(idle.remove(index));
            }
            // What the upstream has closed is in nobody's way. What is neither has not noticed yet that its exchange is over.
            if connection.is_over(now) {
                idle.remove(index);
            }
        }
        None
    }
}

/// Closes, until the client ends, the connections that are of no more use, or in the way of others.
async fn sweep(pool: Weak<Mutex<Resting>>) {
    loop {
        // Whoever is told too early or not at all is in time with the next round.
        let _ = tokio::time::timeout(SWEEP, WANTED.notified()).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = Instant::now();
        let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.origins.retain(|_, resting| {
            resting.retain(|one| !one.is_old(now) && !one.is_over(now) && !one.is_in_the_way());
            !resting.is_empty()
        });
    }
}

/// Of a request that could not be sent, perhaps not once more.
fn fate(unsent: Box<Request<OutboundBody>>, is_again: bool) -> Fate {
    if is_again { Fate::Unanswered } else { Fate::Unsent(unsent) }
}

async fn connect(target: &Target, limit: Duration) -> Result<Connection, ClientError> {
    let deadline = Instant::now() + limit;
    let slot = slot(target, deadline).await?;
    timeout_at(deadline, handshake(target, slot)).await.map_err(|_| ClientError::ConnectTimeout)?
}

async fn handshake(target: &Target, slot: Option<OwnedSemaphorePermit>) -> Result<Connection, ClientError> {
    let Origin { url, tls } = &target.origin;
    let stream = target.connect().await.map_err(ClientError::Connect)?;
    let connection = match tls {
        None => Connection::over(stream, target, slot).await,
        Some(tls) => {
            let stream = secure(url, tls, stream, &[HTTP1]).await.map_err(ClientError::Connect)?;
            Connection::over(stream, target, slot).await
        }
    };
    connection.map_err(ClientError::Broken)
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty};
    use hyper::{server, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::Barrier,
        task::JoinSet,
    };

    use super::*;
    use crate::net::Client;

    const COUNT: usize = IDLE_CONNECTIONS / 2 + 1;

    /// An upstream's life: twice, so many requests at one time, each of which is answered when all have come. How many
    /// connections they made.
    async fn connections(client: &Client, target: &Target, listener: &TcpListener) -> usize {
        let (all, accepted) = (Arc::new(Barrier::new(COUNT)), AtomicUsize::new(0));
        let mut served = JoinSet::new();
        let serving = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
                let all = Arc::clone(&all);
                let service = service_fn(move |_| {
                    let all = Arc::clone(&all);
                    async move {
                        all.wait().await;
                        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                    }
                });
                served.spawn(server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        };
        let asking = async {
            for _ in 0..2 {
                let mut asked = JoinSet::new();
                for _ in 0..COUNT {
                    let (client, target) = (client.clone(), target.clone());
                    asked.spawn(async move {
                        let request = Box::new(Request::new(OutboundBody::whole(Bytes::new(), Arc::default())));
                        let answer = client.send(&target, request, std::time::Instant::now()).await.unwrap();
                        answer.into_body().collect().await.unwrap();
                    });
                }
                asked.join_all().await;
                // Until the connections have noticed that their exchanges are over.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = serving => {}
            () = asking => {}
        }
        // The upstream ends, and the connections notice that too.
        served.shutdown().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        accepted.into_inner()
    }

    fn target(listener: &TcpListener) -> Target {
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let times = Times { connect: Duration::from_secs(10), response: Duration::from_secs(10) };
        Target::new(Arc::new(url), None, times)
    }

    #[tokio::test]
    async fn connections_that_an_upstream_closed_are_in_nobodys_way() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, target) = (Client::default(), target(&listener));
        for _ in 0..4 {
            assert_eq!(connections(&client, &target, &listener).await, COUNT);
        }
    }

    #[tokio::test]
    async fn a_connection_that_the_upstream_closes_is_closed_without_being_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, target) = (Client::default(), target(&listener));
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.shutdown().await.unwrap();
            // The other side closes too, or this is never over.
            stream.read_to_end(&mut Vec::new()).await.unwrap();
        };
        let asking = async {
            let request = Box::new(Request::new(OutboundBody::whole(Bytes::new(), Arc::default())));
            let answer = client.send(&target, request, std::time::Instant::now()).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
        };
        tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(serving, asking) }).await.unwrap();
    }
}
