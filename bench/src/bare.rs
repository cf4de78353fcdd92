//! A reverse proxy that only forwards: what hyper costs at the least.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context, bail};
use http::{HeaderMap, HeaderName, Request, Response, Uri, header, uri::PathAndQuery};
use hyper::{body::Incoming, client::conn, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
};

/// What ends at each hop (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

type Sender = conn::http1::SendRequest<Incoming>;

thread_local! {
    static IDLE: RefCell<Vec<Sender>> = const { RefCell::new(Vec::new()) };
}

/// Serves until it is told to stop, with one of two clients; its first line of output says where.
/// `CLIENT` is `own=UPSTREAM` or `legacy=UPSTREAM`.
pub(crate) fn serve(client: &str) -> anyhow::Result<()> {
    let (client, upstream) =
        client.split_once('=').context("`serve-bare own=ADDRESS` or `serve-bare legacy=ADDRESS`")?;
    let upstream: SocketAddr = upstream.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match client {
        "own" => runtime.block_on(until_told(accept(move |request| by_own_pool(upstream, request)))),
        "legacy" => {
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            let client = Arc::new(Client::builder(TokioExecutor::new()).build(connector));
            let accept = accept(move |request| by_legacy_client(Arc::clone(&client), upstream, request));
            runtime.block_on(until_told(accept))
        }
        _ => bail!("no such client: `{client}`"),
    }
}

/// Serves until it is told to stop: a process that is killed writes no counts.
async fn until_told(serving: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut told = signal(SignalKind::terminate())?;
    tokio::select! {
        served = serving => served,
        _ = told.recv() => Ok(()),
    }
}

async fn accept<F, A>(forward: F) -> anyhow::Result<()>
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = anyhow::Result<Response<Incoming>>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("address={}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let forward = forward.clone();
        let service = service_fn(move |request| {
            let answer = forward(request);
            async move {
                match answer.await {
                    Ok(answer) => Ok::<_, Infallible>(answer),
                    // Every answer of a measurement must be good: it ends here, and the load notices.
                    Err(error) => {
                        eprintln!("{error:#}");
                        std::process::exit(1);
                    }
                }
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn by_own_pool(upstream: SocketAddr, mut request: Request<Incoming>) -> anyhow::Result<Response<Incoming>> {
    strip(request.headers_mut());
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = target.unwrap_or_else(|| PathAndQuery::from_static("/")).into();
    let idle = IDLE.with_borrow_mut(|idle| {
        let ready = idle.iter().rposition(Sender::is_ready)?;
        Some(idle.swap_remove(ready))
    });
    let mut sender = match idle {
        Some(sender) => sender,
        None => connect(upstream).await?,
    };
    let mut response = sender.send_request(request).await?;
    IDLE.with_borrow_mut(|idle| idle.push(sender));
    strip(response.headers_mut());
    Ok(response)
}

async fn connect(upstream: SocketAddr) -> anyhow::Result<Sender> {
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn by_legacy_client(
    client: Arc<Client<HttpConnector, Incoming>>,
    upstream: SocketAddr,
    mut request: Request<Incoming>,
) -> anyhow::Result<Response<Incoming>> {
    strip(request.headers_mut());
    let target = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme("http").authority(upstream.to_string()).path_and_query(target);
    *request.uri_mut() = uri.build()?;
    let mut response = client.request(request).await?;
    strip(response.headers_mut());
    Ok(response)
}

fn strip(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}
