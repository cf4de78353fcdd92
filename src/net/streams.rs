//! The streams of one HTTP/2 connection: how many are open, and whose answers are not read.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    body::{Body, Frame, SizeHint},
    rt::Executor,
};
use tokio::{
    sync::oneshot,
    time::{Duration, Instant, Sleep, sleep},
};

/// The longest piece of an answer that is handed to a stream: what a client does not read is kept for it.
const PIECE: usize = 16 * 1024;

/// What ends an answer and is longer comes in two pieces, of which the last one is a byte: it is asked for when the client has
/// room for all before it. What is shorter may be kept for a client that never takes it.
const SMALL: usize = 1024;

tokio::task_local! {
    // Of the stream that is polled.
    static WATCHED: Watched;
}

/// What is known of a stream to whoever works for it.
#[derive(Default)]
struct Watched {
    answer: Cell<Answer>,
    // Is over with the tunnel that the stream has become, until it is taken for whoever fills that.
    tunnel: Cell<Option<oneshot::Receiver<Infallible>>>,
}

/// To be dropped with the tunnel that a stream has become.
#[derive(Debug)]
pub(super) struct TunnelOpen {
    _tells: Option<oneshot::Sender<Infallible>>,
}

impl TunnelOpen {
    /// Of the stream that is polled.
    pub(super) fn here() -> Self {
        let (tells, is_over) = oneshot::channel();
        let is_watched = WATCHED.try_with(|watched| watched.tunnel.set(Some(is_over))).is_ok();
        Self { _tells: is_watched.then_some(tells) }
    }
}

/// How far the answer of a stream has come.
#[derive(Debug, Clone, Copy, Default)]
enum Answer {
    /// It is waited for.
    #[default]
    Awaited,
    /// Its client has to take so many pieces, before there is more.
    Given(u64),
}

/// The streams of one connection. hyper runs each by it.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    open: Arc<Mutex<Open>>,
    // How long the answer of a stream may wait to be taken.
    patience: Duration,
    unread: Arc<dyn Told>,
}

/// Is told of each stream whose answer was not taken.
pub(super) trait Told: Fn() + Send + Sync {}

impl<F: Fn() + Send + Sync> Told for F {}

impl std::fmt::Debug for dyn Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

#[derive(Debug)]
struct Open {
    streams: usize,
    /// Since when there is none.
    since: Instant,
}

impl Streams {
    pub(super) fn new(patience: Duration, unread: impl Fn() + Send + Sync + 'static) -> Self {
        let open = Open { streams: 0, since: Instant::now() };
        Self { open: Arc::new(Mutex::new(open)), patience, unread: Arc::new(unread) }
    }

    /// Since when there is no stream; `None` if there is one.
    pub(super) fn resting_since(&self) -> Option<Instant> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        (open.streams == 0).then_some(open.since)
    }

    fn enter(&self) -> Entered {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).streams += 1;
        Entered(Arc::clone(&self.open))
    }
}

/// An open stream.
#[derive(Debug)]
struct Entered(Arc<Mutex<Open>>);

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.streams = open.streams.saturating_sub(1);
        if open.streams == 0 {
            open.since = Instant::now();
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (entered, patience, unread) = (self.enter(), self.patience, Arc::clone(&self.unread));
        // What a stream hands over is what fills its tunnel.
        let tunnel = WATCHED.try_with(|watched| watched.tunnel.take()).ok().flatten();
        tokio::spawn(async move {
            match tunnel {
                Some(tunnel) => filled(stream, tunnel, patience).await,
                None if WATCHED.scope(Watched::default(), taken(stream, patience)).await.is_none() => {
                    // Dropped, the stream is reset.
                    unread();
                }
                None => {}
            }
            drop(entered);
        });
    }
}

/// Until the tunnel is filled, or for so long after its end: hyper waits for ever for a client to take what is left. Dropped,
/// its stream is reset.
async fn filled<F: Future>(filling: F, tunnel: oneshot::Receiver<Infallible>, patience: Duration) {
    let given_up = async {
        let _ = tunnel.await;
        sleep(patience).await;
    };
    tokio::select! {
        _ = filling => {}
        () = given_up => {}
    }
}

/// The outcome of the stream; `None` if nothing of its answer was taken for too long.
async fn taken<F: Future>(stream: F, patience: Duration) -> Option<F::Output> {
    let mut stream = pin!(stream);
    let mut waiting: Option<(u64, Pin<Box<Sleep>>)> = None;
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = stream.as_mut().poll(cx) {
            return Poll::Ready(Some(outcome));
        }
        match WATCHED.with(|watched| watched.answer.get()) {
            Answer::Awaited => waiting = None,
            Answer::Given(pieces) => {
                if waiting.as_ref().is_none_or(|(then, _)| *then != pieces) {
                    waiting = Some((pieces, Box::pin(sleep(patience))));
                }
            }
        }
        waiting.as_mut().map_or(Poll::Pending, |(_, sleep)| sleep.as_mut().poll(cx).map(|()| None))
    })
    .await
}

/// The body of a stream's answer, in pieces, each of which is asked for when the client has room for it.
#[derive(Debug)]
pub(super) struct Pieces<B> {
    body: B,
    rest: Bytes,
    given: u64,
}

impl<B> Pieces<B> {
    pub(super) fn of(body: B) -> Self {
        Self { body, rest: Bytes::new(), given: 0 }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Pieces<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = if this.rest.is_empty() {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Pending => {
                    // A body may be polled elsewhere too: then nobody watches.
                    let _ = WATCHED.try_with(|watched| watched.answer.set(Answer::Awaited));
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame))) => frame.into_data(),
                Poll::Ready(over) => return Poll::Ready(over),
            }
        } else {
            Ok(std::mem::take(&mut this.rest))
        };
        this.given += 1;
        let _ = WATCHED.try_with(|watched| watched.answer.set(Answer::Given(this.given)));
        Poll::Ready(Some(Ok(match frame {
            Ok(mut data) => {
                let length = data.len();
                let is_last = SMALL < length && length <= PIECE && this.body.is_end_stream();
                this.rest = data.split_off(if is_last { length - 1 } else { PIECE.min(length) });
                Frame::data(data)
            }
            Err(trailers) => trailers,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, hint) = (u64::try_from(self.rest.len()).unwrap_or(u64::MAX), self.body.size_hint());
        let mut whole = SizeHint::new();
        // The upper bound is never below the lower one.
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(rest));
        }
        whole.set_lower(hint.lower().saturating_add(rest));
        whole
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test]
    async fn a_large_answer_comes_in_pieces() {
        let whole = Bytes::from(vec![7; 40_000]);
        let mut pieces = Pieces::of(Full::<Bytes>::new(whole.clone()));
        let (mut all, mut sizes) = (Vec::new(), Vec::new());
        while let Some(frame) = pieces.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            sizes.push(data.len());
            all.extend(data);
            assert_eq!(pieces.size_hint().exact(), Some(40_000 - u64::try_from(all.len()).unwrap()));
            assert_eq!(pieces.is_end_stream(), all.len() == 40_000);
        }
        assert!(all == whole.to_vec());
        // The last byte waits until there is room for all before it.
        assert_eq!(sizes, [PIECE, PIECE, 40_000 - 2 * PIECE - 1, 1]);
    }

    /// A stream that takes one piece, and asks for another if it is to.
    async fn takes(again: bool, of: &mut Pieces<impl Body<Data = Bytes, Error = Infallible> + Unpin>) {
        of.frame().await;
        if again {
            of.frame().await;
        }
        std::future::pending::<()>().await;
    }

    #[tokio::test]
    async fn who_does_not_take_its_answer_is_not_waited_for_and_who_waits_for_one_is() {
        let patience = Duration::from_millis(20);
        let watched = |stream| WATCHED.scope(Watched::default(), taken(stream, patience));
        let mut whole = Pieces::of(Full::<Bytes>::new(Bytes::from_static(b"some")));
        assert!(watched(Box::pin(takes(false, &mut whole)) as Pin<Box<dyn Future<Output = ()>>>).await.is_none());
        let silent = http_body_util::StreamBody::new(futures_util::stream::pending());
        let mut silent: Pieces<http_body_util::StreamBody<futures_util::stream::Pending<Result<_, Infallible>>>> =
            Pieces::of(silent);
        let stream = Box::pin(takes(true, &mut silent)) as Pin<Box<dyn Future<Output = ()>>>;
        assert!(tokio::time::timeout(patience * 5, watched(stream)).await.is_err());
    }

    #[tokio::test]
    async fn streams_are_open_until_they_end() {
        let streams = Streams::new(Duration::from_secs(600), || ());
        let before = streams.resting_since().unwrap();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        streams.execute(ended);
        assert_eq!(streams.resting_since(), None);
        drop(end);
        while streams.resting_since().is_none() {
            tokio::task::yield_now().await;
        }
        assert!(streams.resting_since().unwrap() >= before);
    }
}
