//! An agent's side: a plain HTTP client that knows nothing of Portcullis.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use crate::net::{Client, OutboundBody, Target, Times};

use super::expected::Scenario;

/// The longest answer that is read.
const ANSWER_BYTES: usize = 1024 * 1024;
/// Far more than an answer on the loopback takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that keeps its connections.
#[derive(Debug)]
pub(super) struct Agent {
    client: Client,
    target: Target,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// `null` if it is no JSON.
    pub(super) body: Value,
}

impl Agent {
    /// A client of the service at this address.
    pub(super) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let url = Arc::new(format!("http://{address}").parse()?);
        let target = Target::new(url, None, Times { connect: PATIENCE, response: PATIENCE });
        Ok(Self { client: Client::default(), target })
    }

    /// Sends the scenario's request, byte for byte as it is written.
    pub(super) async fn send(&self, scenario: &Scenario, token: Option<&str>) -> anyhow::Result<Answer> {
        let mut request = Request::builder()
            .method(scenario.method)
            .uri(scenario.target)
            .header(header::HOST, "api.acme.example")
            .header(header::USER_AGENT, "acme-agent");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let names_its_type = scenario.field.is_some_and(|(name, _)| name == header::CONTENT_TYPE);
        if scenario.body.is_some() && !names_its_type {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some((name, value)) = scenario.field {
            request = request.header(name, value);
        }
        let body = Bytes::from_static(scenario.body.unwrap_or_default().as_bytes());
        let request = request.body(OutboundBody::whole(body, Arc::default()))?;
        let response =
            self.client.send(&self.target, Box::new(request), Instant::now()).await.context(scenario.name)?;
        let (parts, body) = response.into_parts();
        let read = Limited::new(body, ANSWER_BYTES).collect().await;
        let bytes = read.map_err(anyhow::Error::from_boxed).context(scenario.name)?.to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

impl Answer {
    /// The one value of a header field; empty if there is none, or more than one.
    pub(super) fn field(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().unwrap_or_default(),
            _ => "",
        }
    }

    pub(super) fn decision_id(&self) -> &str {
        self.field("portcullis-decision-id")
    }

    /// The revision that the answer names; 0 if it names none.
    pub(super) fn revision(&self) -> u64 {
        self.field("portcullis-revision").parse().unwrap_or(0)
    }

    /// The ids of the elements of a list, or of the guidance within a report; the names of tools.
    pub(super) fn items(&self) -> Vec<&str> {
        let items =
            ["/items", "/guidance", "/result/tools"].iter().find_map(|path| self.body.pointer(path)?.as_array());
        let ids = items.into_iter().flatten().filter_map(|item| item.get("id").or_else(|| item.get("name"))?.as_str());
        ids.collect()
    }
}
