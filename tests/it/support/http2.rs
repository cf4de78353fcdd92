//! HTTP/2 on both sides of the proxy.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bytes::Bytes;
use h2::{RecvStream, client::SendRequest, server::SendResponse};
use http::{HeaderMap, Request, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};
use tokio_rustls::TlsAcceptor;

pub(crate) type Answering = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One stream of an upstream.
pub(crate) struct Stream {
    pub(crate) request: Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
    /// Of all streams of this upstream, from 1 on.
    pub(crate) number: usize,
}

impl Stream {
    /// Answers with status 200 and this body.
    pub(crate) fn answer(mut self, body: &'static str) {
        let mut sending = self.respond.send_response(Response::new(()), false).unwrap();
        let _ = sending.send_data(Bytes::from_static(body.as_bytes()), true);
    }

    /// The whole body of the request.
    pub(crate) async fn body(&mut self) -> Vec<u8> {
        whole(self.request.body_mut()).await.0
    }
}

/// The rest of a body and its trailers.
pub(crate) async fn whole(body: &mut RecvStream) -> (Vec<u8>, HeaderMap) {
    let mut whole = Vec::new();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        whole.extend_from_slice(&piece);
    }
    (whole, body.trailers().await.ok().flatten().unwrap_or_default())
}

/// An upstream that speaks HTTP/2 alone, by prior knowledge or over TLS.
pub(crate) struct Http2Upstream {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<http::request::Parts>>>,
}

impl Http2Upstream {
    /// Answers each stream so, and takes at most this many of a connection at one time.
    pub(crate) fn start(streams: u32, answer: impl Fn(Stream) -> Answering + Send + Sync + 'static) -> Self {
        Self::start_with(None, streams, answer)
    }

    pub(crate) fn start_with(
        tls: Option<TlsAcceptor>,
        streams: u32,
        answer: impl Fn(Stream) -> Answering + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, heads) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (counted, seen, answer) = (Arc::clone(&connections), Arc::clone(&heads), Arc::new(answer));
        thread::spawn(move || {
            runtime().block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                let number = Arc::new(AtomicUsize::new(0));
                while let Ok((stream, _)) = listener.accept().await {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let (seen, number, answer, tls) =
                        (Arc::clone(&seen), Arc::clone(&number), Arc::clone(&answer), tls.clone());
                    let answer = move |request: Request<RecvStream>, respond| {
                        let (parts, body) = request.into_parts();
                        seen.lock().unwrap().push(parts.clone());
                        let number = number.fetch_add(1, Ordering::SeqCst) + 1;
                        answer(Stream { request: Request::from_parts(parts, body), respond, number })
                    };
                    tokio::spawn(async move {
                        match tls {
                            None => serve(stream, streams, answer).await,
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    serve(stream, streams, answer).await;
                                }
                            }
                        }
                    });
                }
            });
        });
        Self { address, connections, heads }
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The heads so far.
    pub(crate) fn heads(&self) -> Vec<http::request::Parts> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve<T>(io: T, streams: u32, answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> Answering)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(mut connection) = h2::server::Builder::new().max_concurrent_streams(streams).handshake(io).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond));
    }
}

/// A runtime for one test.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// An HTTP/2 connection of a client, by prior knowledge.
pub(crate) async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

/// A request with a token, as HTTP/2 has it.
pub(crate) fn http2_request(method: &str, path: &str, token: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(format!("http://api.acme.example{path}"));
    request.version(http::Version::HTTP_2).header("authorization", format!("Bearer {token}")).body(()).unwrap()
}
