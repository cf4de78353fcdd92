//! The whole proxy: whatever bytes come on a connection, what reaches the upstream is permitted, framed once, and forwarded once,
//! and the next connection is served.
#![no_main]

use std::{
    collections::HashSet,
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{LazyLock, Mutex},
    thread,
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use portcullis::{app::Running, identity::NewApiKey, net::ListenAddress};

const MODEL: &str = "model
  schema 1.1
type user
type document
  relations
    define can_read: [user]
    define can_write: [user]
";

/// Erin may read and write one document, and read another one's neighbour: nothing else.
const TUPLES: &str = "- { user: user:erin, relation: can_read, object: document:d1 }
- { user: user:erin, relation: can_write, object: document:d1 }
- { user: user:frank, relation: can_read, object: document:d2 }
";

/// What requests are made of: a byte below their number stands for one of them, any other for itself. `KEY` is Erin's.
const FRAGMENTS: [&str; 64] = [
    "GET /documents/d1 HTTP/1.1\r\n",
    "PUT /documents/d1 HTTP/1.1\r\n",
    "GET /documents/d2 HTTP/1.1\r\n",
    "HEAD ",
    "POST ",
    "DELETE ",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    "/documents/d1",
    "/documents/d2",
    "host: a\r\n",
    "x-api-key: KEY\r\n",
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    "content-length: 0\r\n",
    "content-length: 5\r\n",
    "content-length: 5, 5\r\n",
    "content-length: +5\r\n",
    "content-length: 05\r\n",
    "transfer-encoding: chunked\r\n",
    "transfer-encoding: gzip, chunked\r\n",
    "transfer-encoding: chunked, identity\r\n",
    "Transfer-Encoding:\tchunked\r\n",
    "transfer-encoding : chunked\r\n",
    "5\r\nabcde\r\n",
    "0\r\n\r\n",
    "0\r\n",
    "5;a=b\r\n",
    "5;a=\"\r\n\"\r\n",
    "00000000000000005\r\n",
    "fffffffffffffffff\r\n",
    "0x5\r\n",
    "5\n",
    "abcde",
    "connection: close\r\n",
    "connection: keep-alive\r\n",
    "connection: x-api-key\r\n",
    "connection: upgrade\r\nupgrade: websocket\r\n",
    "expect: 100-continue\r\n",
    "trailer: x-api-key\r\n",
    "te: trailers\r\n",
    "x-http-method-override: DELETE\r\n",
    "x_api_key: b\r\n",
    " folded\r\n",
    "\t",
    " ",
    ":",
    ": ",
    ", ",
    "%2e",
    "%2f",
    "%00",
    "..",
    "../",
    "//",
    "\\",
    ";",
    "?",
    "#",
    "http://a",
    "*",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// What was wrong with what reached the upstream.
static WRONG: Mutex<Vec<String>> = Mutex::new(Vec::new());
static DECISIONS: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

struct Proxy {
    address: SocketAddr,
    key: String,
    _running: Running,
}

static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("portcullis-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let NewApiKey { id, text, hash } = NewApiKey::generate([7; 24]);
    let config = format!(
        "listen: [{{ address: 127.0.0.1:0 }}]
telemetry: {{ address: 127.0.0.1:0 }}
workers: 1
upstreams: {{ main: {{ url: \"http://{}\" }} }}
identity:
  api_keys: {{ keys: [{{ id: {id}, hash: \"{hash}\", subject: user:erin }}] }}
policy: {{ source: {{ file: {{ model: model.fga, tuples: tuples.yaml }} }} }}
audit: {{ file: /dev/null }}
timeouts: {{ head: 3s, handshake: 3s, half_closed: 100ms }}
routes:
  - path: /documents/{{document}}
    upstream: main
    operations:
      GET: {{ action: can_read, resource: \"document:{{path.document}}\" }}
      HEAD: {{ action: can_read, resource: \"document:{{path.document}}\" }}
      PUT: {{ action: can_write, resource: \"document:{{path.document}}\" }}
",
        upstream.local_addr().unwrap()
    );
    for (name, text) in [("portcullis.yaml", config.as_str()), ("model.fga", MODEL), ("tuples.yaml", TUPLES)] {
        fs::write(folder.join(name), text).unwrap();
    }
    thread::spawn(move || {
        for stream in upstream.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    let running = Running::start(&folder.join("portcullis.yaml")).unwrap();
    let ListenAddress::Ip(address) = running.data_addresses()[0].clone() else { unreachable!("a port") };
    Proxy { address, key: text, _running: running }
});

/// Answers what is strictly a request, and remembers what is not.
fn serve(mut stream: TcpStream) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match take(&bytes) {
            Ok(Some(length)) => {
                bytes.drain(..length);
                if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                    return;
                }
                continue;
            }
            Ok(None) => {}
            Err(wrong) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                WRONG.lock().unwrap().push(format!("{wrong}: {text:?}"));
                return;
            }
        }
        match stream.read(&mut piece) {
            // A body may break off with its client, and the connection with it.
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

/// The length of the request that these bytes begin with; `None` if it is not there whole.
fn take(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    // A hundred come at most, and the proxy adds its own.
    let mut slots = [httparse::EMPTY_HEADER; 128];
    let mut head = httparse::Request::new(&mut slots);
    let end = match head.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("not a request"),
    };
    let lines = bytes[..end].split(|byte| *byte == b'\n');
    if bytes[..end].iter().filter(|byte| **byte == b'\r').count() + 1 != lines.count() {
        return Err("a lone CR or LF");
    }
    let (method, target) = (head.method.unwrap_or(""), head.path.unwrap_or(""));
    if !matches!(method, "GET" | "HEAD" | "PUT") || target.split('?').next() != Some("/documents/d1") {
        return Err("not permitted");
    }
    let of = |name: &str| -> Vec<&[u8]> {
        head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value).collect()
    };
    let [decision] = of("portcullis-decision-id")[..] else { return Err("not one decision") };
    let host = of("host");
    if host.len() != 1 {
        return Err("not one host");
    }
    if head.headers.iter().any(|field| field.name.contains('_')) {
        return Err("a name that CGI takes for another");
    }
    let length = match (&of("content-length")[..], &of("transfer-encoding")[..]) {
        ([], []) => end,
        ([length], []) => {
            let length = std::str::from_utf8(length).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            end + length.and_then(|text| text.parse::<usize>().ok()).ok_or("no length")?
        }
        ([], [b"chunked"]) => match chunks(&bytes[end..])? {
            Some(length) => end + length,
            None => return Ok(None),
        },
        _ => return Err("framed twice"),
    };
    if bytes.len() < length {
        return Ok(None);
    }
    if !DECISIONS.lock().unwrap().insert(String::from_utf8_lossy(decision).into_owned()) {
        return Err("forwarded twice");
    }
    Ok(Some(length))
}

/// The length of a body in chunks, with no extensions: the proxy writes none.
fn chunks(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    let mut at = 0;
    loop {
        let Some(line) = bytes[at..].windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
        let size =
            std::str::from_utf8(&bytes[at..at + line]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.ok_or("not the size of a chunk")?;
        at += line + 2;
        if size == 0 {
            // Trailers end with an empty line.
            while let Some(line) = bytes[at..].windows(2).position(|pair| pair == b"\r\n") {
                at += line + 2;
                if line == 0 {
                    return Ok(Some(at));
                }
            }
            return Ok(None);
        }
        match bytes.get(at + size..at + size + 2) {
            None => return Ok(None),
            Some(b"\r\n") => at += size + 2,
            Some(_) => return Err("a chunk is longer than it says"),
        }
    }
}

fn exchange(bytes: &[u8]) -> Vec<u8> {
    // So many connections a second may leave no port for a moment.
    let connected = (0..1000).find_map(|_| match TcpStream::connect(PROXY.address) {
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            thread::sleep(Duration::from_millis(5));
            None
        }
        connected => Some(connected),
    });
    let mut stream = connected.expect("a port").expect("the next connection is accepted");
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // It may have been refused before its end.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("a connection is not ended"),
        _ => answer,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut request = Vec::new();
    for byte in bytes {
        match FRAGMENTS.get(usize::from(*byte)) {
            Some(fragment) => request.extend_from_slice(fragment.replace("KEY", &PROXY.key).as_bytes()),
            None => request.push(*byte),
        }
    }
    exchange(&request);
    let wrong = WRONG.lock().unwrap();
    assert!(wrong.is_empty(), "{:?}\nfrom {:?}", wrong, String::from_utf8_lossy(&request));
    drop(wrong);
    // Now and then, as it takes its time.
    if bytes.first().is_some_and(|byte| byte % 16 == 0) {
        let good =
            format!("GET /documents/d1 HTTP/1.1\r\nhost: a\r\nx-api-key: {}\r\nconnection: close\r\n\r\n", PROXY.key);
        let answer = String::from_utf8_lossy(&exchange(good.as_bytes())).into_owned();
        // Whoever sends many bad keys is not heard with a good one for a while.
        let is_served = answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 429 ");
        assert!(is_served, "{answer:?}\nafter {:?}", String::from_utf8_lossy(&request));
    }
});
