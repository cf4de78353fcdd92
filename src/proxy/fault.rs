//! Faults of the proxy itself: each denies one request, and nothing else.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::access::Reason;

use super::rejection::Rejection;

/// What was decided. A fault denies this request and nothing else.
pub(super) async fn without_fault<T>(deciding: impl Future<Output = Result<T, Rejection>>) -> Result<T, Rejection> {
    let caught = AssertUnwindSafe(deciding).catch_unwind().await;
    caught.unwrap_or_else(|_panic| Err(Rejection::new(Reason::InternalError)))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, SystemTime},
    };

    use super::super::{
        exchange::{Exchange, Sinks},
        metrics::ProxyMetrics,
    };
    use super::*;
    use crate::{
        access::DecisionId,
        audit::{AuditSink, AuditWriter, OnFailure},
        net::{Peer, Transport},
        telemetry::{EndedConnections, Registry},
    };

    #[tokio::test]
    async fn a_fault_is_a_denial() {
        let outcome: Result<(), _> = without_fault(async { panic!("a fault in what decides") }).await;
        let rejection = outcome.unwrap_err();
        assert_eq!(rejection.reason, Reason::InternalError);
        assert_eq!(rejection.reason.status(), http::StatusCode::INTERNAL_SERVER_ERROR);
        assert!(without_fault(async { Ok(()) }).await.is_ok());
    }

    #[tokio::test]
    async fn a_thousand_faults_leave_a_record_each_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (file, registry) = (folder.path().join("audit.jsonl"), Registry::default());
        let (audit, writer) = AuditWriter::start(&AuditSink::File(file.clone()), OnFailure::Deny, &registry).unwrap();
        let metrics = ProxyMetrics::new(&registry, EndedConnections::new(&registry, []).unwrap()).unwrap();
        let sinks = Arc::new(Sinks { audit, shard: metrics.shard(), metrics });
        let peer = Peer {
            address: "192.0.2.7:4711".into(),
            forwarded_for: http::HeaderValue::from_static("192.0.2.7"),
            source: None,
            transport: Transport::Clear,
            forwards: None,
            certificates: Arc::default(),
            destination: None,
            asked_name: None,
            role: crate::net::Role::Service,
        };
        for _ in 0..1000 {
            let id = DecisionId::new(uuid::Uuid::now_v7());
            let mut exchange = Exchange::begin(id, SystemTime::now(), &peer, &sinks);
            let outcome: Result<(), _> = without_fault(async { panic!("a fault") }).await;
            exchange.rejected(&outcome.unwrap_err());
            exchange.answering(500);
            exchange.completed();
        }
        assert_eq!(sinks.metrics.in_flight(), 0);
        drop(sinks);
        writer.finish(Duration::from_secs(30)).unwrap();
        let records = std::fs::read_to_string(file).unwrap();
        assert_eq!(records.lines().filter(|record| record.contains("\"internal_error\"")).count(), 1000);
    }
}
