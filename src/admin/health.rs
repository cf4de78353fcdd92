//! The telemetry listener: metrics, liveness and readiness, and nothing else.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::{
    access::Timestamp,
    net::{DrainSignal, Handler, HeadProblem, Peer},
    snapshot::SnapshotCell,
    telemetry::Registry,
};

use super::names::{DoorNames, Stranger};

/// Answers `/metrics`, `/livez` and `/readyz`.
#[derive(Debug, Clone)]
pub struct TelemetryHandler {
    registry: Registry,
    snapshots: Arc<SnapshotCell>,
    drain: DrainSignal,
    names: DoorNames,
}

impl TelemetryHandler {
    /// A handler that reports on these, whoever asks by one of these names; once `drain` is ordered it reports not ready.
    pub fn new(registry: Registry, snapshots: Arc<SnapshotCell>, drain: DrainSignal, names: DoorNames) -> Self {
        Self { registry, snapshots, drain, names }
    }

    fn readiness(&self) -> (StatusCode, String) {
        if self.drain.is_ordered() {
            return (StatusCode::SERVICE_UNAVAILABLE, "not ready: draining\n".to_owned());
        }
        match self.snapshots.usable(Timestamp::from(SystemTime::now())) {
            Ok(snapshot) => (StatusCode::OK, format!("ready: revision {}\n", snapshot.revision)),
            Err(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {problem}\n")),
        }
    }
}

fn refused(peer: &Peer, stranger: Stranger) -> (StatusCode, String) {
    tracing::debug!(peer = %peer.address, %stranger, "metrics were asked for and are not told");
    let status = match stranger {
        Stranger::Page => StatusCode::FORBIDDEN,
        Stranger::OtherHost => StatusCode::MISDIRECTED_REQUEST,
    };
    (status, format!("{stranger}\n"))
}

impl Handler for TelemetryHandler {
    type Body = Full<Bytes>;

    async fn respond(&self, peer: &Peer, request: Box<Request<Incoming>>) -> Response<Full<Bytes>> {
        let get = matches!(*request.method(), Method::GET | Method::HEAD);
        let (status, text) = match request.uri().path() {
            "/metrics" | "/livez" | "/readyz" if !get => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned()),
            // Whether it lives is told to probes that keep any name.
            "/metrics" => match self.names.admit(&request) {
                Ok(()) => (StatusCode::OK, self.registry.text()),
                Err(stranger) => refused(peer, stranger),
            },
            "/livez" => (StatusCode::OK, "alive\n".to_owned()),
            "/readyz" => self.readiness(),
            _ => (StatusCode::NOT_FOUND, "only /metrics, /livez and /readyz are here\n".to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        response
    }

    fn malformed(&self, peer: &Peer, problem: HeadProblem) {
        tracing::debug!(peer = %peer.address, %problem, "a malformed request on the telemetry listener");
    }
}
