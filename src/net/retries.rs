//! Which requests may be sent again, and how many of them.

use std::sync::atomic::{AtomicI64, Ordering};

use http::{Method, Request};
use hyper::body::Body;

use super::body::OutboundBody;

/// So many requests may be sent again at first, and at one go after a quiet time.
const RESERVE: i64 = 10;

/// Which share of the requests may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRules {
    /// How often one request is sent at most, the first time included.
    pub attempts: u32,
    /// For a hundred requests, so many more: 1 to 100.
    pub budget: u8,
}

/// What of the budget is left, over all workers. Each request adds its share, each one that is sent again takes a whole
/// one, and no more than the reserve is saved up: so an upstream that fails gets hardly more requests than one that does
/// not.
#[derive(Debug)]
pub(super) struct RetryBudget {
    rules: RetryRules,
    // In hundredths of a request.
    left: AtomicI64,
}

impl RetryBudget {
    pub(super) fn new(rules: RetryRules) -> Self {
        Self { rules, left: AtomicI64::new(RESERVE * 100) }
    }

    pub(super) fn attempts(&self) -> u32 {
        self.rules.attempts
    }

    /// Notes a request, and keeps a copy of it if it may be sent again.
    pub(super) fn note(&self, request: &mut Request<OutboundBody>) -> Option<Box<Request<OutboundBody>>> {
        let share = i64::from(self.rules.budget);
        let more = |left: i64| Some((left + share).min(RESERVE * 100)).filter(|more| *more != left);
        // That it is full already is no failure.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        copy(request)
    }

    /// Takes what one more attempt costs, if it is there.
    pub(super) fn spend(&self) -> bool {
        let less = |left: i64| left.checked_sub(100).filter(|left| *left >= 0);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// The same request once more, if doing it twice is doing it once (RFC 9110, section 9.2.2) and its body can be sent twice.
pub(super) fn copy(request: &mut Request<OutboundBody>) -> Option<Box<Request<OutboundBody>>> {
    if is_idempotent(request.method()) { repeated(request) } else { None }
}

/// The same request once more, if it is one of those that every server knows to be safe (RFC 9110, section 9.2.1) and has no
/// body.
pub(super) fn safe(request: &mut Request<OutboundBody>) -> Option<Box<Request<OutboundBody>>> {
    let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if is_safe && request.body().is_end_stream() { repeated(request) } else { None }
}

/// The same request once more, if its body can be sent twice.
pub(super) fn repeated(request: &mut Request<OutboundBody>) -> Option<Box<Request<OutboundBody>>> {
    let mut again = Box::new(Request::new(request.body_mut().repeated()?));
    again.method_mut().clone_from(request.method());
    again.uri_mut().clone_from(request.uri());
    *again.version_mut() = request.version();
    again.headers_mut().clone_from(request.headers());
    again.extensions_mut().clone_from(request.extensions());
    Some(again)
}

/// Of methods that are not known it is not.
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE].contains(method)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;

    #[test]
    fn retries_are_a_share_of_the_requests() {
        let budget = RetryBudget::new(RetryRules { attempts: 2, budget: 20 });
        let mut request = Request::new(OutboundBody::whole(Bytes::new(), Arc::default()));
        let mut again = 0;
        for _ in 0..1000 {
            budget.note(&mut request);
            again += usize::from(budget.spend());
        }
        assert_eq!(again, 200 + 10 - 1, "a fifth of them, and the reserve, which the first one found full");
        for _ in 0..1000 {
            budget.note(&mut request);
        }
        assert_eq!((0..1000).filter(|_| budget.spend()).count(), 10, "no more is saved up");
    }

    #[test]
    fn only_what_can_be_done_twice_is_copied() {
        for (method, is_copied) in [
            ("GET", true),
            ("HEAD", true),
            ("PUT", true),
            ("DELETE", true),
            ("POST", false),
            ("PATCH", false),
            ("FROB", false),
        ] {
            let body = OutboundBody::whole(Bytes::from_static(b"all of it"), Arc::default());
            let mut request = Request::builder().method(method).uri("/a?b").header("c", "d").body(body).unwrap();
            let copy = copy(&mut request);
            assert_eq!(copy.is_some(), is_copied, "{method}");
            if let Some(copy) = copy {
                assert_eq!(
                    (copy.method(), copy.uri(), copy.headers()),
                    (request.method(), request.uri(), request.headers())
                );
            }
        }
    }
}
