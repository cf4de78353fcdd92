//! What passes on a WebSocket connection, counted and decided again while it lasts.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use aws_lc_rs::rand;
use hyper::upgrade::OnUpgrade;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, Sleep, sleep, timeout},
};

use crate::{
    access::Reason,
    net::{DrainSignal, Ending, Place, Switched, SwitchedConnection, switched},
    protocol::{CloseCode, Frames, Sender},
};

use super::{exchange::Exchange, lasting::Lasting, rejection::Rejection};

/// What is read of one side before the other has taken it.
const BUFFER: usize = 16 * 1024;
/// After one side has closed the other one has so long to do so too.
const LINGER: Duration = Duration::from_secs(5);
/// For the last words on both sides.
const FAREWELL: Duration = Duration::from_secs(1);

/// Two connections that become one.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) client: OnUpgrade,
    pub(super) upstream: OnUpgrade,
    pub(super) lasting: Box<Lasting>,
    /// How long nothing may pass in either direction.
    pub(super) idle: Option<Duration>,
    /// How long nothing of what waits for a side may be taken by it.
    pub(super) unread: Duration,
    /// What it takes up at its upstream.
    pub(super) place: Box<Place>,
}

/// Why a tunnel ends.
#[derive(Debug)]
enum End {
    /// Both sides have closed.
    Closed,
    /// A side broke off.
    Broken,
    /// The process ends.
    Leaving,
    /// Nothing has passed for too long.
    Idle,
    /// The client has taken nothing of what waits for it for too long.
    Unread,
    /// Nothing more may pass.
    Cut(Rejection, CloseCode),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl Tunnel {
    /// What the client's connection does after the answer: it carries the exchange to its end.
    pub(super) fn after(self: Box<Self>, exchange: Exchange) -> Switched {
        Switched::new(move |drain| self.run(exchange, drain))
    }

    async fn run(self: Box<Self>, mut exchange: Exchange, drain: DrainSignal) {
        let Self { client, upstream, lasting, idle, unread, place: _place } = *self;
        let (Ok(client), Ok(upstream)) = (switched(client).await, switched(upstream).await) else { return };
        let (up, down) = (Way::of(Sender::Client, unread), Way::of(Sender::Server, unread));
        let mut passage = Passage { sides: (client, upstream), up, down, lasting, idle: idle.map(Silence::new) };
        let code = match passage.last(&mut exchange, drain).await {
            End::Closed => return exchange.completed(),
            End::Broken => return,
            End::Leaving => {
                exchange.completed();
                CloseCode::GoingAway
            }
            End::Idle => {
                // Who has begun a frame and says no more has broken off.
                if passage.up.is_at_rest() && passage.down.is_at_rest() {
                    exchange.completed();
                }
                exchange.ended(Ending::Idle);
                CloseCode::GoingAway
            }
            End::Unread => {
                exchange.ended(Ending::UnreadStream);
                CloseCode::GoingAway
            }
            End::Cut(rejection, code) => {
                exchange.cut(&rejection);
                code
            }
        };
        // What is said now is no part of what was permitted.
        drop(exchange);
        // A side that takes nothing any more is closed all the same.
        let _ = timeout(FAREWELL, passage.farewell(code)).await;
    }
}

/// Both sides and what is on its way between them.
struct Passage {
    // The client's and the upstream's.
    sides: (SwitchedConnection, SwitchedConnection),
    up: Way,
    down: Way,
    lasting: Box<Lasting>,
    idle: Option<Silence>,
}

/// How long nothing has happened.
struct Silence {
    limit: Duration,
    since: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Silence {
    fn new(limit: Duration) -> Self {
        Self { limit, since: Instant::now(), sleep: Box::pin(sleep(limit)) }
    }

    /// Ready once nothing has happened for too long.
    fn poll_over(&mut self, cx: &mut Context<'_>, has_happened: bool) -> Poll<()> {
        if has_happened {
            self.since = Instant::now();
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let until = self.since + self.limit;
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            // Something has happened since it was set.
            self.sleep.as_mut().reset(until);
        }
    }
}

impl Passage {
    async fn last(&mut self, exchange: &mut Exchange, mut drain: DrainSignal) -> End {
        let Self { sides: (client, upstream), up, down, lasting, idle } = self;
        let (mut leaving, mut is_leaving, mut closing) = (pin!(drain.ordered()), false, None::<Pin<Box<Sleep>>>);
        poll_fn(|cx| {
            if let Poll::Ready(rejection) = lasting.poll_over(cx, None) {
                return Poll::Ready(End::Cut(rejection, CloseCode::PolicyViolation));
            }
            is_leaving = is_leaving || leaving.as_mut().poll(cx).is_ready();
            let up_over = up.poll_pass(cx, (client, upstream), is_leaving, |bytes| exchange.pass_up(bytes));
            let down_over = down.poll_pass(cx, (upstream, client), is_leaving, |bytes| exchange.pass_down(bytes));
            let have_moved = up.has_moved || down.has_moved;
            match (up_over, down_over) {
                (Poll::Ready(Err(end)), _) | (_, Poll::Ready(Err(end))) => return Poll::Ready(end),
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Closed),
                (Poll::Pending, Poll::Pending) => {}
                (Poll::Ready(Ok(())), Poll::Pending) | (Poll::Pending, Poll::Ready(Ok(()))) => {
                    let closing = closing.get_or_insert_with(|| Box::pin(sleep(LINGER)));
                    if closing.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(End::Closed);
                    }
                }
            }
            if is_leaving && up.is_at_rest() && down.is_at_rest() {
                return Poll::Ready(End::Leaving);
            }
            if down.poll_unread(cx).is_ready() {
                return Poll::Ready(End::Unread);
            }
            if up.poll_unread(cx).is_ready() {
                let rejection = Rejection::with_detail(Reason::UpstreamTimeout, "it takes nothing any more");
                return Poll::Ready(End::Cut(rejection, CloseCode::GoingAway));
            }
            // Whoever reads slowly is not idle.
            let is_busy = have_moved || up.is_waiting() || down.is_waiting();
            if idle.as_mut().is_some_and(|idle| idle.poll_over(cx, is_busy).is_ready()) {
                return Poll::Ready(End::Idle);
            }
            Poll::Pending
        })
        .await
    }

    /// Tells both sides, each where that is no part of a frame, and waits until they have closed.
    async fn farewell(&mut self, code: CloseCode) {
        let Self { sides: (client, upstream), up, down, .. } = self;
        let to_client = async {
            if down.written.is_between() {
                let _ = client.write_all(&code.to_client()).await;
            }
            part(client).await;
        };
        let to_upstream = async {
            let mut mask = [0; 4];
            if up.written.is_between() && rand::fill(&mut mask).is_ok() {
                let _ = upstream.write_all(&code.to_server(mask)).await;
            }
            part(upstream).await;
        };
        tokio::join!(to_client, to_upstream);
    }
}

/// Closes a side, and hears it out: what it says after its end would take the last words back (TCP resets).
async fn part(side: &mut SwitchedConnection) {
    let mut unheard = [0; 1024];
    if side.shutdown().await.is_ok() {
        while matches!(side.read(&mut unheard).await, Ok(1..)) {}
    }
}

/// One direction.
struct Way {
    sender: Sender,
    buffer: Box<[u8]>,
    // What of it is yet to be written.
    begin: usize,
    end: usize,
    read: Frames,
    written: Frames,
    is_flushed: bool,
    is_over: bool,
    is_closed: bool,
    // Something was read or taken since this was last looked at.
    has_moved: bool,
    // Since when nothing of what waits was taken.
    unread: Silence,
}

impl Way {
    fn of(sender: Sender, unread: Duration) -> Self {
        Self {
            sender,
            buffer: vec![0; BUFFER].into(),
            begin: 0,
            end: 0,
            read: Frames::of(sender),
            written: Frames::of(sender),
            is_flushed: true,
            is_over: false,
            is_closed: false,
            has_moved: false,
            unread: Silence::new(unread),
        }
    }

    /// Whether something waits to be taken.
    fn is_waiting(&self) -> bool {
        !self.is_closed && (self.begin < self.end || !self.is_flushed)
    }

    /// Ready once nothing of what waits was taken for too long.
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let has_moved = std::mem::take(&mut self.has_moved);
        let rests = has_moved || !self.is_waiting();
        self.unread.poll_over(cx, rests)
    }

    /// Whether no frame is on its way.
    fn is_at_rest(&self) -> bool {
        self.is_closed || self.written.is_between() && self.is_flushed
    }

    /// Passes on what there is; while the process ends, only to the end of a frame. Ready once the one who sends has
    /// closed, and the other one was told.
    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&mut SwitchedConnection, &mut SwitchedConnection),
        is_leaving: bool,
        mut pass: impl FnMut(usize) -> Result<(), Rejection>,
    ) -> Poll<Result<(), End>> {
        loop {
            if self.is_closed {
                return Poll::Ready(Ok(()));
            }
            let waiting = self.buffer.get(self.begin..self.end).unwrap_or_default();
            let waiting =
                if is_leaving { waiting.get(..self.written.to_end(waiting)).unwrap_or_default() } else { waiting };
            if !waiting.is_empty() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, waiting))?;
                let written = waiting.get(..count).filter(|written| !written.is_empty()).ok_or(End::Broken)?;
                // It was followed before.
                self.written.follow(written).map_err(|_| End::Broken)?;
                self.begin += count;
                (self.is_flushed, self.has_moved) = (false, true);
                continue;
            }
            let is_still = self.is_over || is_leaving && self.written.is_between();
            let read = if is_still { Poll::Pending } else { self.poll_read(cx, from, &mut pass)? };
            if read.is_ready() {
                continue;
            }
            if !self.is_flushed {
                ready!(Pin::new(&mut *to).poll_flush(cx))?;
                self.is_flushed = true;
            }
            if !self.is_over || is_leaving {
                return Poll::Pending;
            }
            ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
            self.is_closed = true;
        }
    }

    /// Reads the next bytes, which have to be frames that may pass.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut SwitchedConnection,
        pass: &mut impl FnMut(usize) -> Result<(), Rejection>,
    ) -> Result<Poll<()>, End> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        match Pin::new(from).poll_read(cx, &mut buffer) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(read) => read?,
        }
        let bytes = buffer.filled();
        (self.is_over, self.has_moved) = (bytes.is_empty(), true);
        (self.begin, self.end) = (0, bytes.len());
        self.read.follow(bytes).map_err(|problem| {
            let reason = match self.sender {
                Sender::Client => Reason::MalformedMessage,
                Sender::Server => Reason::UpstreamMalformed,
            };
            End::Cut(Rejection::with_detail(reason, problem.to_string()), CloseCode::ProtocolError)
        })?;
        pass(self.end).map_err(|rejection| End::Cut(rejection, CloseCode::PolicyViolation))?;
        Ok(Poll::Ready(()))
    }
}
