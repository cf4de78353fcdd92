//! Proxies in front that pass on the requests of many clients, and say of each whose it is.

use crate::support::{
    Authority, Connection, Portcullis, World, answer_of, connect, http2_request, request, runtime, whole,
};

fn behind(hops: usize, trusted: &str) -> World {
    let listen = format!("- address: 127.0.0.1:0\n    forwarded_for: {hops}\n    trusted_proxies: [{trusted}]");
    World { listen, ..World::new() }
}

fn get(portcullis: &Portcullis, world: &World, fields: &str) -> (u16, String, serde_json::Value) {
    let answer = portcullis.request("GET", "/documents/d1", &world.issuer.token("erin", &[]), fields, "");
    (answer.status, answer.reason(), world.record_of(&answer))
}

#[test]
fn a_trusted_proxy_says_whose_request_it_is() {
    let world = behind(1, "127.0.0.0/8");
    let portcullis = world.start();
    for (fields, peer, forwarded, proto) in [
        ("x-forwarded-for: 192.0.2.7\r\n", "192.0.2.7", "192.0.2.7, 127.0.0.1", "http"),
        ("x-forwarded-for: 10.1.1.1, evil, 192.0.2.7:999\r\n", "192.0.2.7", "192.0.2.7, 127.0.0.1", "http"),
        (
            "x-forwarded-for: 1.1.1.1\r\nx-forwarded-for: 2001:db8::7\r\n",
            "2001:db8::7",
            "2001:db8::7, 127.0.0.1",
            "http",
        ),
        ("x-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: https\r\n", "192.0.2.7", "192.0.2.7, 127.0.0.1", "https"),
        (
            "x-forwarded-host: evil\r\nx-real-ip: 9.9.9.9\r\nforwarded: for=9.9.9.9\r\n",
            "127.0.0.1:",
            "127.0.0.1",
            "http",
        ),
    ] {
        let (status, _, record) = get(&portcullis, &world, fields);
        assert_eq!(status, 200, "{fields}");
        assert!(record["peer"].as_str().unwrap().starts_with(peer), "{fields} {record}");
        let sent = world.upstream.last();
        for field in [
            format!("\r\nx-forwarded-for: {forwarded}\r\n"),
            format!("\r\nx-forwarded-proto: {proto}\r\n"),
            "\r\nx-forwarded-host: api.acme.example\r\n".to_owned(),
        ] {
            assert_eq!(sent.matches(&field).count(), 1, "{fields}: {sent}");
        }
        assert!(!sent.contains("9.9.9.9") && !sent.contains("evil") && !sent.contains("1.1.1.1"), "{sent}");
    }
    let passed = world.upstream.seen().len();
    for fields in [
        "x-forwarded-for: \r\n",
        "x-forwarded-for: 192.0.2.7, unknown\r\n",
        "x-forwarded-for: <script>\r\n",
        "x-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: ftp\r\n",
        "x-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: http\r\nx-forwarded-proto: https\r\n",
        "x-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: HTTPS\r\n",
        // It is read by the proxy, and by nobody whom `Connection` may keep it from.
        "x-forwarded-for: 192.0.2.7\r\nconnection: x-forwarded-for\r\n",
        "x-forwarded-for: 192.0.2.7\r\nx_forwarded_for: 192.0.2.8\r\n",
    ] {
        let (status, reason, record) = get(&portcullis, &world, fields);
        assert_eq!((status, reason.as_str()), (400, "malformed_header"), "{fields}");
        assert_eq!((&record["outcome"], &record["status"]), (&"deny".into(), &400.into()), "{record}");
        assert_eq!(record["revision"], 1, "{record}");
    }
    assert_eq!(world.upstream.seen().len(), passed);
}

#[test]
fn a_certificate_of_the_proxy_is_nobody_s_credential() {
    let authority = Authority::new("acme");
    let made = rcgen::generate_simple_self_signed(vec!["api.acme.example".to_owned()]).unwrap();
    let tls = "tls: { certificate: tls.crt, key: tls.key, client: { ca_file: acme.pem } }";
    let spiffe = "spiffe: [{ trust_domain: acme.example, bundle: { file: acme.pem }, subjects: [{ path: \"/agents/{name}\", subject: \"agent:{name}\" }] }]";
    let mut world = World { identity_more: spiffe.to_owned(), ..World::new() };
    for (name, text) in
        [("tls.crt", made.cert.pem()), ("tls.key", made.signing_key.serialize_pem()), ("acme.pem", authority.pem())]
    {
        world.write(name, text);
    }
    let ingress = authority.client("spiffe://acme.example/agents/reader", made.cert.der());
    let token = format!("Bearer {}", world.issuer.token("erin", &[]));
    let ask = |world: &World, fields: &[(&str, &str)]| {
        let portcullis = world.start();
        let answer = runtime().block_on(ingress.get(portcullis.data, "/documents/d1", fields)).unwrap();
        // Killed before, it would take its record with it.
        let record = world.record_of(&answer);
        (answer, record)
    };
    world.listen = format!("- {{ address: 127.0.0.1:0, {tls} }}");
    assert_eq!(ask(&world, &[]).0.status, 200, "it is an agent where it asks for itself");
    world.listen = format!("- {{ address: 127.0.0.1:0, forwarded_for: 1, trusted_proxies: [127.0.0.1], {tls} }}");
    let from = ("x-forwarded-for", "192.0.2.7");
    for fields in [&[][..], &[from]] {
        assert_eq!(ask(&world, fields).0.reason(), "missing_credential", "{fields:?}");
    }
    let (answer, record) = ask(&world, &[from, ("authorization", &token)]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(record["principal"]["subject"], "user:erin");
}

#[test]
fn several_proxies_stand_one_behind_the_other() {
    let world = behind(2, "127.0.0.0/8");
    let portcullis = world.start();
    for (fields, peer, forwarded) in [
        ("x-forwarded-for: 9.9.9.9, 192.0.2.7, 10.0.0.1\r\n", "192.0.2.7", "192.0.2.7, 10.0.0.1, 127.0.0.1"),
        ("x-forwarded-for: 192.0.2.7\r\n", "192.0.2.7", "192.0.2.7, 127.0.0.1"),
    ] {
        assert_eq!(get(&portcullis, &world, fields).2["peer"], peer);
        assert!(world.upstream.last().contains(&format!("\r\nx-forwarded-for: {forwarded}\r\n")));
    }
}

#[test]
fn who_is_no_trusted_proxy_speaks_for_himself() {
    let world = behind(1, "192.0.2.0/24");
    let portcullis = world.start();
    let (status, _, record) = get(&portcullis, &world, "x-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: https\r\n");
    assert_eq!(status, 200);
    assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    let sent = world.upstream.last();
    assert!(sent.contains("x-forwarded-for: 127.0.0.1\r\n") && sent.contains("x-forwarded-proto: http\r\n"), "{sent}");
    assert_eq!(get(&portcullis, &world, "x-forwarded-for: what it likes\r\n").0, 200);
}

#[test]
fn what_one_client_does_wrong_is_no_other_s_fault() {
    let mut world = behind(1, "127.0.0.0/8");
    world.more = "limits: { connections_per_source: 1 }".to_owned();
    let key = crate::refusals::keys(&mut world);
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let by = |client: &str| format!("x-forwarded-for: {client}\r\n");
    // A proxy has as many connections as it likes, and no bad credential ends them, whoever it speaks for.
    let mut shared: Vec<_> = (0..3).map(|_| Connection::open(portcullis.data)).collect();
    for round in 0..15 {
        for (number, connection) in shared.iter_mut().enumerate() {
            let client = if number == 0 { String::new() } else { by("192.0.2.7") };
            connection.send(request("GET", "/documents/d1", "e30.e30.e30", &client, ""));
            assert_eq!(connection.answer().expect("it goes on").status, 401, "{round}");
        }
    }
    for connection in &mut shared {
        connection.send(request("GET", "/documents/d1", &token, &by("192.0.2.8"), ""));
        assert_eq!(connection.answer().unwrap().status, 200);
    }
    // Who guesses keys is not heard, over whichever connection, and others are.
    let wrong = format!("{}{}", &key[..key.len() - 1], if key.ends_with('x') { 'y' } else { 'x' });
    let ask = |client: &str, key: &str| {
        let head = "GET /documents/d1 HTTP/1.1\r\nhost: api.acme.example\r\nconnection: close\r\n";
        answer_of(portcullis.data, format!("{head}x-api-key: {key}\r\n{}\r\n", by(client))).unwrap()
    };
    let statuses: Vec<u16> = (0..40).map(|_| ask("192.0.2.7", &wrong).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 30, "{statuses:?}");
    assert_eq!(ask("192.0.2.7", &key).reason(), "too_many_refusals");
    assert_eq!(ask("192.0.2.8", &key).status, 200);
    runtime().block_on(async {
        let mut client = connect(portcullis.data).await;
        for (from, bearer, status) in
            [("192.0.2.7", "e30.e30.e30", 401), ("192.0.2.8", &*token, 200)].into_iter().cycle().take(30)
        {
            let mut head = http2_request("GET", "/documents/d1", bearer);
            head.headers_mut().insert("x-forwarded-for", from.parse().unwrap());
            let (answer, _) = client.send_request(head, true).unwrap();
            let mut answer = answer.await.unwrap();
            assert_eq!(answer.status().as_u16(), status);
            whole(answer.body_mut()).await;
        }
    });
}
