"""Faults of connections, to clients and to upstreams: what is lost on them, kept too long, or sent twice."""

RESTING, HALF_OPEN, SENT_AGAIN = (
    ["--lib", "net::resting"], ["--lib", "net::half_open"], ["--test", "it", "upstream_faults"],
)

MUTANTS = [
    ("a connection rests in the middle of a head", "net/resting.rs",
     "&& this.inner.as_ref().is_some_and(Guarded::is_between_requests)", "", RESTING),
    ("what comes at rest is lost", "net/half_open.rs", "self.ahead.extend_from_slice(buffer.filled());", "", RESTING),
    ("a rest has no end", "net/resting.rs", "ready!(Pin::new(until).poll(cx));\n                        this.graceful_shutdown();",
     "let _ = until;\n                        return Poll::Pending;", RESTING),
    ("a connection at rest does not end in order", "net/resting.rs",
     "} else if let Some(io) = self.take() {\n            self.stage = Stage::Ending(io);", "", RESTING),
    ("an answer that has begun is asked for again", "net/http1_client.rs", "again.filter(|_| !has_begun)", "again", SENT_AGAIN),
    ("what is not safe is sent twice", "net/retries.rs", "if request.method().is_safe() && request", "if request", SENT_AGAIN),
    ("requests on new connections are sent twice", "net/http1_client.rs", "if may_be_closing { safe(", "if true { safe(", SENT_AGAIN),
    ("a record does not tell of the second time", "net/http1_client.rs", "same.body().attempted();", "", SENT_AGAIN),
]
