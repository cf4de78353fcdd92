//! Serving HTTP/1.1 on a connection.

use std::{
    convert::Infallible,
    error::Error,
    io,
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderValue, StatusCode, header};
use hyper::service::service_fn;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep},
};

use super::{
    drain::{DrainSignal, Leave},
    ending::Ending,
    guard::Guarded,
    half_open::HalfOpen,
    held::Held,
    joined::Joined,
    patient::Patient,
    pause::jittered,
    peer::Peer,
    problem::HeadProblem,
    resting::{Serving, Times},
    server::{Handler, ServerSettings},
    switched::Switched,
    tunnel_end::{OpenedTunnel, serve_tunnel},
    unread::Unread,
};

/// A connection as it is read: what is on it is looked at, and looked after, from the inside out.
pub(super) type Received<T> = Guarded<HalfOpen<Joined<Unread<Patient<T>>>>>;

/// Serves the connection until it ends, or has to.
///
/// What only the beginning needs is not kept: for most of its time a connection waits.
pub(super) fn http1<T, H>(
    io: T,
    peer: Peer,
    settings: Arc<ServerSettings>,
    mut drain: DrainSignal,
    handler: &H,
) -> impl Future<Output = ()> + Send + use<T, H>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Handler,
{
    let io = Unread::new(Patient::new(io), settings.unread);
    let stuck = io.stuck();
    let io = Joined::new(io);
    let (io, refusal) = Guarded::new(HalfOpen::new(io, settings.half_closed));
    let next = Next { is_switched: io.switch(), after: OnceLock::new() };
    let shared = Arc::new((handler.for_connection(&peer), peer, AtomicBool::new(false), next));
    let answering = Arc::clone(&shared);
    let service = service_fn(move |request| {
        let (shared, stuck, request) = (Arc::clone(&answering), stuck.clone(), Box::new(request));
        // Boxed, because it is large and the connection moves what it is given.
        Box::pin(async move {
            let (handler, peer, is_leaving, next) = shared.as_ref();
            let mut response = handler.respond(peer, request).await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                next.switch(response.extensions_mut().remove().map(After::Switched));
            } else if let Some(opened) = OpenedTunnel::take(&mut response) {
                next.switch(Some(After::Opened(opened)));
            } else if is_leaving.load(Ordering::Relaxed) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| Held::<H>::new(body, stuck)))
        })
    });
    let mut connection = Serving::new(io, service, Times { head: settings.head, idle: settings.idle });
    async move {
        let (handler, peer, is_leaving, next) = shared.as_ref();
        let mut term = pin!(sleep(jittered(settings.age)));
        let ended = match drain.unless_ordered(Pin::new(&mut connection), Some(term.as_mut())).await {
            Ok(ended) => Some(ended),
            Err(leave) => {
                // An idle client may have sent its next request already: the answer tells it that it is the last one.
                is_leaving.store(true, Ordering::Relaxed);
                let left = Box::pin(async {
                    match leave {
                        Leave::Ordered => drain.left_for(settings.linger).await,
                        Leave::TermOver => {
                            handler.ended(Ending::Age);
                            sleep(settings.linger).await;
                        }
                    }
                });
                tokio::select! {
                    biased;
                    ended = &mut connection => Some(ended),
                    () = left => None,
                }
            }
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.graceful_shutdown();
                connection.await
            }
        };
        match ended {
            Ok(()) => match next.after.get() {
                None => {}
                Some(After::Switched(switched)) => switched.run(drain).await,
                Some(After::Opened(opened)) => {
                    let (opened, client) = (opened.clone(), (handler.clone(), peer.clone()));
                    // It is as old as its connection.
                    let age = term.deadline().saturating_duration_since(Instant::now());
                    let settings = Arc::new(ServerSettings { age, ..*settings });
                    serve_tunnel::<T, H>(opened, client, settings, drain).await;
                }
            },
            Err(error) if error.is_parse_too_large() => {
                handler.malformed(peer, refusal.get().copied().unwrap_or(HeadProblem::BeyondLimits));
            }
            Err(error) if error.is_parse() => {
                handler.malformed(peer, refusal.get().copied().unwrap_or(HeadProblem::NotHttp));
            }
            Err(error) => {
                if is_unread(&error) {
                    handler.ended(Ending::UnreadAnswer);
                }
                tracing::debug!(%error, peer = %peer.address, "a connection ended");
            }
        }
    }
}

/// What a connection does once it does not speak HTTP any more.
struct Next {
    // For the guard.
    is_switched: Arc<AtomicBool>,
    after: OnceLock<After>,
}

enum After {
    Switched(Switched),
    Opened(OpenedTunnel),
}

impl Next {
    fn switch(&self, after: Option<After>) {
        self.is_switched.store(true, Ordering::Relaxed);
        if let Some(after) = after {
            // There is one such answer on a connection.
            let _ = self.after.set(after);
        }
    }
}

/// Whether it is the client that took nothing for too long.
fn is_unread(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}
