//! What is found out about endpoints beside the requests: where names are, and whether checks succeed.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Request, header, uri::PathAndQuery};
use tokio::{
    net::lookup_host,
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::sleep,
};

use super::{
    body::OutboundBody,
    client::Client,
    drain::DrainSignal,
    endpoint::Endpoint,
    endpoints::Endpoints,
    pause::{FIRST_RETRY, jittered},
    target::{Target, Times},
    terms::Terms,
};

/// How endpoints are asked whether they are well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthRules {
    /// What is asked for, by GET; every answer with a status of 200 to 299 says that all is well.
    pub path: PathAndQuery,
    /// How often; by chance up to a tenth more often.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// After so many failures in a row an endpoint is down; one success ends that.
    pub failures: u32,
}

/// Looks after the endpoints of the last list, until it is told to stop: resolves their names and checks their health. This
/// is done once for all workers, and never on a request's path.
pub async fn look_after(mut all: watch::Receiver<Vec<Arc<Endpoints>>>, mut until: DrainSignal) {
    let mut running = JoinSet::new();
    let mut known: Vec<(Arc<Endpoints>, AbortHandle)> = Vec::new();
    loop {
        let wanted = all.borrow_and_update().clone();
        known.retain(|(one, looking)| {
            let is_wanted = wanted.iter().any(|wanted| Arc::ptr_eq(wanted, one));
            if !is_wanted {
                looking.abort();
            }
            is_wanted
        });
        for one in wanted {
            if !known.iter().any(|(known, _)| Arc::ptr_eq(known, &one)) {
                let looking = running.spawn(look_after_one(Arc::clone(&one)));
                known.push((one, looking));
            }
        }
        tokio::select! {
            changed = all.changed() => if changed.is_err() { return },
            () = until.ordered() => return,
            Some(_) = running.join_next() => {}
        }
    }
}

async fn look_after_one(endpoints: Arc<Endpoints>) {
    tokio::join!(resolve(&endpoints), check(&endpoints));
}

/// Resolves the names again and again, as every program of the machine does: with its hosts file and its search domains.
/// That says nothing of how long an answer is good, so all are asked for again after the same time.
async fn resolve(endpoints: &Endpoints) {
    let rules = &endpoints.rules;
    let names = || rules.urls.iter().enumerate().filter_map(|(index, url)| Some((index, url.name()?)));
    while names().next().is_some() {
        let found = join_all(names().map(async |(index, name)| (index, addresses(name).await))).await;
        let is_known = found.iter().all(|(_, found)| found.is_ok());
        endpoints.learn(&found, Instant::now());
        let pause = if is_known { rules.refresh } else { rules.refresh.min(FIRST_RETRY) };
        sleep(jittered(pause)).await;
    }
}

async fn addresses(name: (&str, u16)) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = lookup_host(name).await?.collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

async fn check(endpoints: &Endpoints) {
    let Some(rules) = &endpoints.rules.health else { return };
    loop {
        let all = endpoints.list().endpoints.clone();
        join_all(all.iter().map(async |endpoint| {
            let is_healthy = is_healthy(endpoint, rules).await;
            if endpoint.checked(is_healthy, rules.failures) {
                let (upstream, place) = (endpoints.rules.name.as_ref(), endpoint.target.origin.url.place());
                if is_healthy {
                    tracing::info!(upstream, endpoint = %place, "an endpoint is up again: its check succeeds");
                } else {
                    tracing::warn!(upstream, endpoint = %place, "an endpoint is down: its checks fail");
                }
            }
        }))
        .await;
        sleep(jittered(rules.interval)).await;
    }
}

/// By a connection of its own: whether there can be new ones is part of the question.
async fn is_healthy(endpoint: &Endpoint, rules: &HealthRules) -> bool {
    let mut request = Box::new(Request::new(OutboundBody::whole(Bytes::new(), Arc::default())));
    *request.uri_mut() = rules.path.clone().into();
    let headers = request.headers_mut();
    headers.insert(header::HOST, endpoint.target.origin.url.authority().clone());
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION"))));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let times = Times { connect: rules.timeout, response: rules.timeout };
    // It is not one of the connections that are bounded: an upstream with all of them in use is not down.
    let target = Target { terms: Terms::default(), ..endpoint.target.clone() };
    let answer = Client::default().try_send(&target, times, request, Instant::now()).await;
    answer.is_ok_and(|answer| answer.status().is_success())
}
