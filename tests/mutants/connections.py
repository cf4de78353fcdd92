"""Faults of connections, to clients and to upstreams: what is lost on them, kept too long, or sent twice."""

RESTING, SENT_AGAIN = ["--lib", "net::resting"], ["--test", "it", "upstream_faults"]
UNREAD = ["--test", "it", "that_nobody_reads_take_little"]

MUTANTS = [
    ("a connection rests in the middle of a head", "net/resting/mod.rs",
     "&& this.inner.as_ref().is_some_and(Guarded::is_between_requests)", "", RESTING),
    ("what comes at rest is lost", "net/half_open.rs", "self.ahead.extend_from_slice(buffer.filled());", "", RESTING),
    ("a rest has no end", "net/resting/mod.rs", "ready!(Pin::new(until).poll(cx));\n                        this.graceful_shutdown();",
     "let _ = until;\n                        return Poll::Pending;", RESTING),
    ("a connection at rest does not end in order", "net/resting/mod.rs",
     "} else if let Some(io) = self.take() {\n            self.stage = Stage::Ending(io);", "", RESTING),
    ("whoever is told to leave rests instead", "net/resting/mod.rs", "if this.is_leaving {", "if false {", RESTING),
    ("an empty line in two pieces is a head", "net/guard.rs", "self.has_head |= known + end > EMPTY_LINE.len();", "self.has_head = true;",
     RESTING),
    ("an answer that has begun is asked for again", "net/http1_client.rs", "again.filter(|_| at_once && !has_begun)", "again.filter(|_| at_once)", SENT_AGAIN),
    ("what is not safe is sent twice", "net/retries.rs", "if is_safe && request", "if request", SENT_AGAIN),
    ("requests on new connections are sent twice", "net/http1_client.rs", "if may_be_closing && target.terms.sends_again {", "if target.terms.sends_again {", SENT_AGAIN),
    ("a record does not tell of the second time", "net/http1_client.rs", "same.body().attempted();", "", SENT_AGAIN),
    ("as much is read as there is", "net/patient.rs", "const MOST: usize = 12 * 1024;", "const MOST: usize = 1024 * 1024;", ["--lib", "net::patient"]),
    ("more is taken up than is taken", "net/held.rs", "if stuck.is_set() {", "if false {", UNREAD),
    ("who does not read keeps what was taken away", "net/held.rs", "return H::poll_held(body, cx).map(|error| Some(Err(error)));", "return Poll::Pending;", ["--test", "it", "nobody_reads_ends"]),
    ("a connection is used after an answer by HTTP/1.0", "net/http1_client.rs", "if response.version() == Version::HTTP_10 =>", "if false =>", ["--test", "it", "upstream_faults::an_upload"]),
    ("who was told to go asks for ever", "net/http2.rs", "if heard > *self.last.get_or_insert(heard) {", "if false {", ["--test", "it", "floods::who_was_told"]),
    ("the end of an answer is never unread", "net/streams.rs", "if is_last { length - 1 } else { PIECE.min(length) }", "PIECE.min(length)", ["--test", "it", "floods::the_end"]),
    ("lengths of answers are not looked at", "proxy/upstream.rs", "length.is_none_or(|length| !length.is_empty() && length.iter().all(u8::is_ascii_digit))", "true", ["--test", "it", "request_rules::an_answer"]),
    ("what was refused unread goes on", "proxy/enforce.rs", "rejection.closing_if(parts.headers.contains_key(header::TRANSFER_ENCODING))", "rejection", ["--test", "it", "request_rules::what_is_refused"]),
    ("what is left in a tunnel waits for ever", "net/streams.rs", "let _ = tunnel.await;", "let _ = tunnel.await;\n        std::future::pending::<()>().await;", ["--test", "it", "websocket_streams::a_client_that_takes"]),
]
