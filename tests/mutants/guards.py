"""Faults of what guards connections: how messages are framed, floods, how slowly bodies come, what lasts."""

GUARD, FLOOD, PACE = (["--lib", f"net::{name}"] for name in ["guard", "flood", "pace"])
LASTING = ["--test", "it", "lasting"]
GUARDED, FLOODED, PACED, AGAIN = "net/guard.rs", "net/flood.rs", "net/pace.rs", "proxy/lasting.rs"

MUTANTS = [
    ("two framings are one", GUARDED, "(Some(_), true) => Err(HeadProblem::TwoFramings),", "(Some(_), true) => Ok(State::Chunks(Chunks::new())),", GUARD),
    ("lengths may be repeated", GUARDED, "            _ if self.repeated => Err(HeadProblem::UnclearFraming),\n", "", GUARD),
    ("fragments are dropped", GUARDED, "            _ if self.fragment => Err(HeadProblem::Fragment),\n", "", GUARD),
    ("a bare LF ends a line", GUARDED, "Some(_) | None => return Err(HeadProblem::BareLineFeed),", "Some(_) => framing.line(line),\n            None => return Ok(Some(begin)),", GUARD),
    ("a bare LF ends a line that comes in pieces", GUARDED, "if last != b'\\r' {", "if false {", GUARD),
    ("heads are of any length", GUARDED, "if known + end.unwrap_or(bytes.len()) > HEAD_BYTES {", "if false {", GUARD),
    ("what follows an unclear framing is a head", GUARDED, "_ if self.unclear => Ok(State::Opaque),", "_ if self.unclear => Ok(State::Head),", GUARD),
    ("a body hides the head after it", GUARDED, "self.state = State::Body(left - here);", "self.state = State::Body(left);", GUARD),
    ("a body that cannot be followed goes on", GUARDED, "self.state = State::Broken;\n                        return Err(begin + at);", "self.state = State::Opaque;\n                        let _ = at;\n                        return Ok(());", ["--test", "it", "malformed"]),
    ("streams are reset as often as they like", FLOODED, "RESETS + self.ended),", "u64::MAX),", FLOOD),
    ("frames of control come as often as they like", FLOODED, "CONTROL + self.received + self.sent),", "u64::MAX),", FLOOD),
    ("windows are opened as often as they like", FLOODED, "UPDATES + UPDATES_FOR_DATA * self.sent),", "u64::MAX),", FLOOD),
    ("empty frames come as often as they like", FLOODED, "(Flood::EmptyFrames, self.empty, EMPTY),", "(Flood::EmptyFrames, self.empty, u64::MAX),", FLOOD),
    ("a flood is counted for ever", FLOODED, "> WITHIN {", "> WITHIN * 1000 {", FLOOD),
    ("a flood is heard on", FLOODED, "if this.is_flooded() {\n            return Poll::Ready(Ok(()));", "if false {\n            return Poll::Ready(Ok(()));", ["--test", "it", "floods"]),
    ("a flood is not told why it ends", FLOODED, "        if !self.sent.is_between() {\n", "        if true {\n", ["--test", "it", "floods"]),
    ("much at once is a reason to pause for longer", PACED, "self.left.saturating_add(gained).min(pace.pause);", "self.left.saturating_add(gained);", PACE),
    ("nothing makes up for waiting", PACED, "self.left = until.saturating_duration_since(Instant::now());", "let _ = until;", PACE),
    ("a body may never come", PACED, "late.poll_too_late(cx).map(|()| Some(Err(BodyError::TooSlow)))", "late.poll_too_late(cx).map(|()| None)", ["--test", "it", "deadlines"]),
    ("a body that is not wanted is left unread", PACED, "            hear_out(incoming);\n", "            drop(incoming);\n", ["--test", "it", "uploads"]),
    ("what lasts is not decided by the policy", AGAIN, "policy.authorize(&caller.principal, accesses, self.task_rule, &RequestContext::default().at(at))?;", "let _ = accesses;", LASTING),
    ("what lasts is not revoked", AGAIN, "        snapshot.denylist.check(&authenticated).map_err(|revoked| refused(revoked.into()))?;\n", "", LASTING),
    ("an upload is decided once", AGAIN, "self.grounds.decide_again(&self.seen, &self.head).is_ok()", "true", LASTING),
    ("whoever has given up is answered", AGAIN, "if self.deadline.as_mut().is_some_and(", "if false && self.deadline.as_mut().is_some_and(", ["--test", "it", "grpc"]),
]
