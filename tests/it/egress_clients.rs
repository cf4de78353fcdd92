//! Clients of an explicit proxy of other kinds, hosts that they choose themselves, and configurations that are not right.

use std::{
    io::{Read, Write},
    process::Command,
};

use http::Request;
use serde_json::json;

use crate::{
    egress::{Egress, INTERCEPTING, authority},
    support::{Authority, Portcullis, World, connect, runtime, whole},
};

#[test]
fn python_reaches_a_far_service_with_what_it_has() {
    let egress = Egress::start();
    egress.world.write("trusted.pem", &egress.ca);
    // It asks for its tunnel by HTTP/1.0, and knows users and passwords only.
    let script = r#"
import ssl, sys, urllib.request
proxy = f"http://jwt:{sys.argv[2]}@{sys.argv[1]}"
context = ssl.create_default_context(cafile="trusted.pem")
context.verify_flags |= ssl.VERIFY_X509_STRICT
opener = urllib.request.build_opener(
    urllib.request.ProxyHandler({"http": proxy, "https": proxy}), urllib.request.HTTPSHandler(context=context))
for url in ["https://api.far.example/documents/d1", "http://api.far.example/documents/d1", "https://api.far.example/documents/d2"]:
    try:
        print(opener.open(url, timeout=20).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"#;
    let output = Command::new("python3")
        .args(["-c", script, &egress.portcullis.data.to_string(), &egress.token])
        .env_remove("no_proxy")
        .current_dir(egress.world.folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "200\n200\n403\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn http2_asks_an_explicit_proxy_without_tunnels_and_is_one_host_within_one() {
    let egress = Egress::start();
    let bearer = format!("Bearer {}", egress.token);
    let status = |method: &str, uri: &str| {
        let request = Request::builder().method(method).uri(uri).version(http::Version::HTTP_2);
        let request = request.header("proxy-authorization", &bearer).body(()).unwrap();
        runtime().block_on(async {
            let mut client = connect(egress.portcullis.data).await;
            let answer = client.send_request(request, true).unwrap().0.await.unwrap();
            let (parts, mut body) = answer.into_parts();
            (parts.status.as_u16(), String::from_utf8(whole(&mut body).await.0).unwrap())
        })
    };
    assert_eq!(status("GET", "http://api.far.example/documents/d1").0, 200);
    assert_eq!(status("GET", "http://api.far.example/documents/d2").0, 403);
    assert_eq!(status("GET", "https://api.far.example/documents/d1").0, 400);
    let (refused, told) = status("CONNECT", "api.far.example:443");
    assert!(refused == 405 && told.contains("refused_method"), "{refused} {told}");
    let proxy = format!("Proxy-Authorization: {bearer}");
    let within = |host: &str| {
        let host = format!("Host: {host}");
        egress.curl(&["--http2", "--proxy-header", &proxy, "-H", &host, "https://api.far.example/documents/d1"])
    };
    assert_eq!(within("api.far.example").1, "200 200 2");
    let (body, told) = within("mcp.tools.example");
    assert!(told == "200 421 2" && body.contains("misdirected"), "{told} {body}");
}

#[test]
fn the_way_to_the_proxy_is_encrypted_too_where_its_listener_has_a_certificate() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let tls = "tls: { certificate: tls.crt, key: tls.key }, explicit_proxy: {";
    let world =
        World { listen: INTERCEPTING.replace("explicit_proxy: {", tls), ..World::with_routes(crate::egress::ROUTES) };
    world.write("tls.crt", made.cert.pem());
    world.write("tls.key", made.signing_key.serialize_pem());
    let config = world.config();
    let egress = Egress::of(world, &config);
    let (user, proxy) =
        (format!("jwt:{}", egress.token), format!("https://localhost:{}", egress.portcullis.data.port()));
    let by_tls = ["-x", &proxy, "--proxy-cacert", "tls.crt", "-U", &user];
    for (url, told) in [
        ("https://api.far.example/documents/d1", "200 200 2"),
        ("http://api.far.example/documents/d1", "000 200 1.1"),
        ("https://other.example/documents/d1", "403 000 0"),
    ] {
        assert_eq!(egress.curl(&[&by_tls[..], &[url]].concat()).1, told, "{url}");
    }
}

#[test]
fn a_websocket_is_opened_in_a_tunnel() {
    let egress = Egress::start();
    let switching = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    egress.world.upstream.answer_with(switching);
    let mut session = egress.session("api.far.example:443", "api.far.example");
    let asking = "GET /live/d1 HTTP/1.1\r\nhost: api.far.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                  sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    session.write_all(asking.as_bytes()).unwrap();
    let mut answer = [0; 4096];
    let read = session.read(&mut answer).unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer[..read]));
}

#[test]
fn a_workload_is_known_to_its_proxy_by_its_certificate() {
    let made = rcgen::generate_simple_self_signed(vec!["api.acme.example".to_owned()]).unwrap();
    let acme = Authority::new("acme");
    let spiffe = "spiffe:\n    - trust_domain: acme.example\n      bundle: { file: acme.pem }\n      \
                  subjects: [{ path: \"/agents/{name}\", subject: \"agent:{name}\" }]";
    let tls = "tls: { certificate: tls.crt, key: tls.key, client: { ca_file: acme.pem, required: false } }";
    let world = World {
        listen: format!("- {{ address: 127.0.0.1:0, explicit_proxy: {{}}, {tls} }}"),
        identity_more: spiffe.to_owned(),
        ..World::with_routes(&crate::egress::ROUTES.replace("api.far.example\n", "api.acme.example\n"))
    };
    world.write("tls.crt", made.cert.pem());
    world.write("tls.key", made.signing_key.serialize_pem());
    world.write("acme.pem", acme.pem());
    let portcullis = world.start();
    let target = "http://api.acme.example/documents/d1";
    let get = |client: &crate::support::Client, path: &str| {
        runtime().block_on(client.get(portcullis.data, path, &[])).map(|answer| answer.status)
    };
    let reader = acme.client("spiffe://acme.example/agents/reader", made.cert.der());
    assert_eq!(get(&reader, target), Some(200));
    let stranger = acme.client("spiffe://acme.example/agents/stranger", made.cert.der());
    assert_eq!(get(&stranger, target), Some(403));
    assert_eq!(get(&crate::support::Client::anonymous(made.cert.der()), target), Some(407));
}

// Hosts that clients choose.

/// A far service over TLS at localhost, who may ask it there, and an egress whose route names it with such an upstream.
fn to_a_far_service(upstream: &str) -> (World, Portcullis, Egress, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let tls = "- { address: 127.0.0.1:0, tls: { certificate: tls.crt, key: tls.key } }";
    let far = World { listen: tls.to_owned(), ..World::new() };
    far.write("tls.crt", made.cert.pem());
    far.write("tls.key", made.signing_key.serialize_pem());
    let serving = far.start();
    let routes = format!(
        "
  - path: /documents/{{document}}
    host: localhost:{}
    egress: true
    upstream: main
    operations:
      GET: {{ action: can_read, resource: \"document:{{path.document}}\" }}
",
        serving.data.port()
    );
    let world = World { listen: INTERCEPTING.to_owned(), ..World::with_routes(&routes) };
    world.write("far.pem", made.cert.pem());
    world.write("other.pem", authority("Other").0);
    let own = format!("main: {{ url: \"http://{}\" }}", world.upstream.address);
    let config = world.config().replace(&own, &format!("main: {{ {upstream} }}"));
    let url = format!("https://localhost:{}/documents/d1", serving.data.port());
    (far, serving, Egress::of(world, &config), url)
}

#[test]
fn a_host_that_the_client_chooses_is_reached_where_it_may_be() {
    let ask = |egress: &Egress, theirs: &str, url: &str| {
        let ours = format!("Proxy-Authorization: Bearer {}", egress.token);
        egress.curl(&["--proxy-header", &ours, "-H", &format!("Authorization: Bearer {theirs}"), url])
    };
    let (far, _serving, egress, url) =
        to_a_far_service("requested_host: { within: [127.0.0.0/8, \"::1\"] }, ca_file: far.pem");
    let theirs = far.issuer.token("erin", &["reader"]);
    let (body, told) = ask(&egress, &theirs, &url);
    assert_eq!((body.as_str(), told.as_str()), ("{\"from\":\"upstream\"}", "200 200 2"));
    assert!(far.upstream.last().contains("via: 2.0 portcullis") || far.upstream.last().contains("via: 1.1 portcullis"));
    // It is the far service that refuses this one.
    assert_eq!(ask(&egress, "a.b.c", &url).1, "200 401 2");
    // Nobody vouches for it, and it is not of the public internet.
    for upstream in [
        "requested_host: { within: [127.0.0.0/8, \"::1\"] }, ca_file: other.pem",
        "requested_host: {}, ca_file: far.pem",
    ] {
        let (far, _serving, egress, url) = to_a_far_service(upstream);
        let (body, told) = ask(&egress, &far.issuer.token("erin", &["reader"]), &url);
        assert!(told == "200 502 2" && body.contains("upstream_unreachable"), "{upstream}: {told} {body}");
        assert!(far.upstream.seen().is_empty());
    }
}

// Configurations.

fn said_by_validate(world: &World, config: &str) -> (bool, String) {
    world.write("portcullis.yaml", config);
    let output = world.run(&["validate", "--config", "portcullis.yaml"]);
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), said)
}

#[test]
fn what_is_wrong_with_an_explicit_proxy_is_said_where_it_stands() {
    let world = World { listen: INTERCEPTING.to_owned(), ..World::with_routes(crate::egress::ROUTES) };
    let (ca, key) = authority("Egress");
    let files = |certificate: &str, key: &str| {
        world.write("ca.pem", certificate);
        world.write("ca.key", key);
    };
    let leaf = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let (leaf_pem, leaf_key) = (leaf.cert.pem(), leaf.signing_key.serialize_pem());
    for (certificate, key, place, problem) in [
        (&leaf_pem, &leaf_key, "portcullis.yaml:2:76", "ca.pem` is no authority's certificate"),
        (&ca, &leaf_key, "portcullis.yaml:2:89", "ca.key` is not the key of the certificate"),
        (&"nothing".to_owned(), &key, "portcullis.yaml:2:76", "ca.pem` holds no PEM certificate"),
        (&ca, &"nothing".to_owned(), "portcullis.yaml:2:89", "ca.key` holds no PEM private key"),
    ] {
        files(certificate, key);
        let (valid, said) = said_by_validate(&world, &world.config());
        assert!(!valid && said.contains(problem) && said.contains("openssl req -x509"), "{problem}: {said}");
        assert!(said.contains(place), "{place}: {said}");
    }
    files(&ca, &key);
    let config = world.config();
    let (valid, said) = said_by_validate(&world, &config);
    assert!(
        valid && said.contains("127.0.0.1:0 is an explicit proxy, for routes with `egress: true`: http, and tunnels"),
        "{said}"
    );
    assert!(said.contains("for agents' egress"), "{said}");
    let output = world.run(&["validate", "--config", "portcullis.yaml", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["explicit_proxies"], json!([{ "address": "127.0.0.1:0", "intercepts": true }]));
    let own = format!("main: {{ url: \"http://{}\" }}", world.upstream.address);
    for (from, to, problem) in [
        ("explicit_proxy: {", "original_destination: true, explicit_proxy: {", "are not redirected to it"),
        ("explicit_proxy: {", "explicit_proxy: { blind: true, ", "unknown key `blind`"),
        ("egress: true", "egress: false", "no route with a `host` says `egress: true`"),
        ("host: ", "name: ", "and the route names none"),
        (&own, "main: { requested_host: { within: [] } }", "`within` is empty"),
        (&own, "main: { requested_host: {}, retries: {} }", "`retries` is for upstreams with a `url`"),
        (
            &own,
            "main: { requested_host: {}, client: { certificate: ca.pem, key: ca.key } }",
            "would be shown to whoever",
        ),
        (&own, "main: { requested_host: {} }", "the route is not for egress"),
        (&own, "main: { requested_host: {}, url: \"http://a\" }", "has exactly one of `url`"),
    ] {
        let (valid, said) = said_by_validate(&world, &config.replace(from, to));
        assert!(!valid && said.contains(problem) && said.contains("portcullis.yaml:"), "{problem}: {said}");
    }
    let world = World::new();
    let own = format!("main: {{ url: \"http://{}\" }}", world.upstream.address);
    let (_, said) = said_by_validate(&world, &world.config().replace(&own, "main: { requested_host: {} }"));
    assert!(said.contains("no listener is an explicit proxy"), "{said}");
}
