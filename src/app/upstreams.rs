//! The endpoints of all upstreams, over reloads.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{net::Endpoints, snapshot::Upstream};

/// What is known of endpoints, which a reload that leaves their upstream as it was does not forget.
#[derive(Debug)]
pub(super) struct KnownEndpoints {
    // Those that are looked after.
    known: watch::Sender<Vec<Arc<Endpoints>>>,
    // Those that will be once what they were read with is in force.
    next: Option<Vec<Arc<Endpoints>>>,
}

impl KnownEndpoints {
    /// None yet, and where those are seen that are looked after.
    pub(super) fn new() -> (Self, watch::Receiver<Vec<Arc<Endpoints>>>) {
        let (known, all) = watch::channel(Vec::new());
        (Self { known, next: None }, all)
    }

    /// Gives each upstream the endpoints that are known of it, if it is reached by the same rules as before.
    pub(super) fn keep(&mut self, upstreams: &mut [Upstream]) {
        for upstream in &mut *upstreams {
            let known = self.known.borrow();
            if let Some(known) = known.iter().find(|known| known.rules() == upstream.endpoints.rules()) {
                upstream.endpoints = Arc::clone(known);
            }
        }
        self.next = Some(upstreams.iter().map(|upstream| Arc::clone(&upstream.endpoints)).collect());
    }

    pub(super) fn published(&mut self) {
        if let Some(next) = self.next.take() {
            self.known.send_replace(next);
        }
    }
}
