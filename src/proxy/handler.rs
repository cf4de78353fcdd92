//! What connections ask of an enforcer, beside its decisions.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use hyper::body::Incoming;

use crate::{
    access::Malformed,
    net::{Ending, Handler, HeadProblem, Peer, Refused, Role},
};

use super::{
    answer::{AnswerBody, BrokenOff},
    behind,
    caller::Seen,
    enforce::Enforcer,
};

impl Handler for Enforcer {
    type Body = AnswerBody;

    fn for_connection(&self, peer: &Peer) -> Self {
        let seen = Seen::of_peer(peer, &self.worker.shared.refused_keys, Arc::clone(&self.seen.snapshots));
        Self { worker: Arc::clone(&self.worker), seen: Arc::new(seen) }
    }

    fn poll_held(body: &mut AnswerBody, cx: &mut Context<'_>) -> Poll<BrokenOff> {
        body.poll_held(cx)
    }

    fn takes_streams(&self) -> bool {
        self.seen.snapshots.load().is_some_and(|snapshot| snapshot.routes.switches())
    }

    fn is_over(&self) -> bool {
        self.seen.credential.is_over()
    }

    async fn respond(&self, peer: &Peer, request: Box<Request<Incoming>>) -> Response<AnswerBody> {
        let Some(hops) = peer.forwards else { return self.worker.respond((peer, &self.seen), request).await };
        // What is known of the connection, and counted of it, is not the client's.
        let client = behind::client(peer, hops, request.headers());
        let keys = &self.worker.shared.refused_keys;
        let seen = Arc::new(Seen::of_peer(&client, keys, Arc::clone(&self.seen.snapshots)));
        Box::pin(self.worker.respond((&client, &seen), request)).await
    }

    fn malformed(&self, peer: &Peer, problem: HeadProblem) {
        let refusal = malformed(problem);
        let (mut exchange, _) = self.worker.begin(peer);
        exchange.rejected(&refusal.into());
        if problem == HeadProblem::Stream {
            // It was reset, or answered by the protocol's implementation.
            return;
        }
        // The answer that the connection has sent already.
        exchange.answering(refusal.reason().status().as_u16());
        exchange.completed();
    }

    fn misdirected(&self, peer: &Peer) {
        if let Role::TunnelEnd(end) = &peer.role {
            self.worker.begin(peer).0.misdirected(&end.authority);
        }
    }

    fn refused(&self, refused: Refused) {
        self.worker.sinks.metrics.refused(refused);
    }

    fn ended(&self, ending: Ending) {
        self.worker.sinks.metrics.ended(ending);
    }
}

fn malformed(problem: HeadProblem) -> Malformed {
    match problem {
        HeadProblem::TwoFramings => Malformed::Framing("both Content-Length and Transfer-Encoding"),
        HeadProblem::UnclearFraming => Malformed::Framing("the framing cannot be followed"),
        HeadProblem::Fragment => Malformed::Target("a fragment"),
        HeadProblem::BareLineFeed => Malformed::Message("a line ends in a bare LF"),
        HeadProblem::BareCarriageReturn => Malformed::Message("a bare CR"),
        HeadProblem::TooLong => Malformed::Message("the head is too long"),
        HeadProblem::BeyondLimits => Malformed::TooLarge,
        HeadProblem::Stream => Malformed::Message("a stream of HTTP/2 that no request came of"),
        HeadProblem::NotHttp => Malformed::Message("not HTTP/1.1"),
    }
}
