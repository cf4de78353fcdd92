//! What is kept of a signal of an issuer.

use std::{sync::Arc, time::SystemTime};

use super::line::{Object, name, text, time};
use crate::access::{Entity, Timestamp};

/// One signal that was heard, as one line of JSON. Never the signal itself.
///
/// Its members beside `time` are of its own: `kind`, which records of decisions do not have, and `signal`.
#[derive(Debug, Clone)]
pub struct SignalRecord {
    /// When it was heard (RFC 3339, UTC).
    pub time: SystemTime,
    /// What came of it: the label of the metric.
    pub outcome: &'static str,
    /// How it came.
    pub way: SignalWay,
    /// From where: the address of the sender, or the URL that was polled.
    pub source: Arc<str>,
    /// Whose word it is; absent if its signature does not hold.
    pub issuer: Option<Arc<str>>,
    /// Its `jti`.
    pub id: Option<Box<str>>,
    /// The type of its event.
    pub event: Option<Box<str>>,
    /// What its issuer calls the one whose tokens it revoked.
    pub subject: Option<Box<str>>,
    /// Who that is here: as a subject, an actor or a client.
    pub revoked: Vec<Entity>,
    /// Those that were issued before this time.
    pub before: Option<Timestamp>,
    /// Why it was refused, in words.
    pub detail: Option<String>,
}

/// How a signal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalWay {
    /// Its sender pushed it (RFC 8935).
    Push,
    /// Its transmitter was polled (RFC 8936).
    Poll,
}

impl SignalWay {
    /// The word used in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Poll => "poll",
        }
    }
}

impl SignalRecord {
    /// Writes it as one JSON object, without a line's end. What is not known is left out.
    pub(super) fn write(&self, line: &mut Vec<u8>) {
        Object::write(line, |record| {
            record.member(name!("time"), |line| time(line, self.time));
            record.plain(name!("kind"), "signal");
            record.object(name!("signal"), |signal| self.members(signal));
        });
    }

    fn members(&self, signal: &mut Object<'_>) {
        signal.plain(name!("outcome"), self.outcome);
        signal.plain(name!("way"), self.way.name());
        signal.text(name!("source"), &self.source);
        signal.text_if(name!("issuer"), self.issuer.as_deref());
        signal.text_if(name!("jti"), self.id.as_deref());
        signal.text_if(name!("event"), self.event.as_deref());
        signal.text_if(name!("subject"), self.subject.as_deref());
        if let Some(before) = self.before {
            signal.array(name!("revoked"), &self.revoked, |line, entity| text(line, entity.as_str()));
            signal.member(name!("issued_before"), |line| time(line, before.into()));
        }
        signal.text_if(name!("detail"), self.detail.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(record: &SignalRecord) -> Value {
        let mut line = Vec::new();
        record.write(&mut line);
        assert!(!line.contains(&b'\n'));
        serde_json::from_slice(&line).unwrap()
    }

    #[test]
    fn a_signal_is_recorded_apart_from_decisions() {
        let revoked = SignalRecord {
            time: SystemTime::UNIX_EPOCH,
            outcome: "revoked",
            way: SignalWay::Poll,
            source: "https://idp.example/poll".into(),
            issuer: Some("https://idp.example".into()),
            id: Some("a\n\"b\"".into()),
            event: Some("https://events.example/ended".into()),
            subject: Some("erin".into()),
            revoked: vec!["user:erin".parse().unwrap()],
            before: Some(Timestamp::from_seconds(60)),
            detail: None,
        };
        let expected = json!({
            "time": "1970-01-01T00:00:00.000000Z", "kind": "signal", "signal": {
                "outcome": "revoked", "way": "poll", "source": "https://idp.example/poll",
                "issuer": "https://idp.example", "jti": "a\n\"b\"", "event": "https://events.example/ended",
                "subject": "erin", "revoked": ["user:erin"], "issued_before": "1970-01-01T00:01:00.000000Z",
            },
        });
        assert_eq!(written(&revoked), expected);
        let refused = SignalRecord {
            outcome: "refused",
            way: SignalWay::Push,
            source: "127.0.0.1:9".into(),
            issuer: None,
            id: None,
            event: None,
            subject: None,
            revoked: Vec::new(),
            before: None,
            detail: Some("why".to_owned()),
            ..revoked
        };
        let expected = json!({ "outcome": "refused", "way": "push", "source": "127.0.0.1:9", "detail": "why" });
        assert_eq!(written(&refused)["signal"], expected);
    }
}
