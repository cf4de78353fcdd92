"""Faults of the explicit proxy, and in what a connection is for: each is a way around a decision."""

EGRESS, NAMES, ACCESS, ROUTE, REACH, CALLER = (
    ["--test", "it", "egress"], ["--lib", "net::server_names"], ["--lib", "access::connect"], ["--lib", "route::"],
    ["--lib", "net::reach"], ["--lib", "identity::proxied"],
)
PLACEMENT, CONNECT, UPSTREAM = "proxy/placement.rs", "proxy/connect.rs", "proxy/upstream.rs"

MUTANTS = [
    ("a tunnel is for any host", CONNECT, "if !snapshot.routes.names(head.authority(), Scheme::Https) {", "if false {", EGRESS),
    ("a request in a tunnel is for any host", PLACEMENT,
     "if head.authority().as_str() == &*end.authority => Ok(()),", "if !end.authority.is_empty() => Ok(()),", EGRESS),
    ("routes for all hosts are for egress", PLACEMENT,
     "Role::Proxy(_) | Role::TunnelEnd(_) => snapshot.routes.find_named(head),",
     "Role::Proxy(_) | Role::TunnelEnd(_) => snapshot.routes.find(head),", EGRESS),
    ("a proxy is asked in any form", PLACEMENT,
     'None => return Err(Malformed::Target("a proxy is asked in absolute-form")),', "None => Scheme::Http,", EGRESS),
    ("the service's credential is the proxy's", PLACEMENT,
     "Role::Service => return Ok(None),", "Role::Service | Role::Proxy(_) | Role::TunnelEnd(_) if true => return Ok(None),", EGRESS),
    ("another server is asked for in a tunnel", "net/interception.rs",
     "if asked.is_some_and(|asked| !asked.eq_ignore_ascii_case(host)) {", "if asked.is_some_and(|asked| asked.is_empty()) {", EGRESS),
    ("bytes come before the tunnel", "net/tunnel_end.rs", "parts.read_buf.is_empty().then(", "true.then(", EGRESS),
    ("services elsewhere are told who asks", UPSTREAM, "Some(fields) => sent.presenting(fields),",
     "Some(fields) => {\n            caller.mark(&mut headers);\n            sent.presenting(fields)\n        }", EGRESS),
    ("a service's own client goes where it says", UPSTREAM,
     'Role::Service => return Err(refused("the request did not come by way of an explicit proxy")),', "Role::Service => {}",
     ["--test", "it", "egress_clients"]),
    ("a pattern without a port names every port", "route/matcher.rs",
     "Self::Below(_) | Self::Host(_) => authority.port().is_none() && self.matches(authority, scheme),",
     "Self::Below(_) | Self::Host(_) => self.matches(authority, scheme),", ROUTE),
    ("a route without a host names every one", "route/matcher.rs", "Self::Any => false,", "Self::Any => true,", ROUTE),
    ("CONNECT has a body", "access/connect.rs", "if has_body || headers", "if false && has_body || headers", ACCESS),
    ("CONNECT and Host disagree", "access/connect.rs", "(Some(Some(host)), None) if host != authority =>",
     "(Some(Some(host)), None) if false && host != authority =>", ACCESS),
    ("any user of Basic is a token", "identity/proxied.rs", "_ => return Err(refused()),",
     '_ => (header::AUTHORIZATION, format!("Bearer {password}")),', CALLER),
    ("a connection is for any host", "net/server_names.rs", "&& certificates.is_in_one(host)", "", NAMES),
    ("a connection without a name is for any host", "net/server_names.rs",
     "None => Arc::ptr_eq(chosen, certificates.chosen(host)),", "None => true,", NAMES),
    ("metadata of clouds is public", "net/reach.rs", "| [169, 254, ..]", "| [169, 255, ..]", REACH),
    ("addresses within addresses are public", "net/reach.rs", "[first, ..] => first & 0xe000 == 0x2000,", "_ => true,", REACH),
    ("mapped addresses are of IPv6", "net/reach.rs", "let address = address.to_canonical();", "", REACH),
]
