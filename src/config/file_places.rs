//! The configuration file's keys of where is listened, and where upstreams are.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    file_endpoints::{Ejection, Health, Retries, UpstreamLimits},
    located::Located,
};

/// One address that agents connect to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    /// `IP:PORT`, where port 0 takes any free one; `unix:PATH`, a Unix socket that is made at the start; or
    /// `systemd:NAME`, what systemd has opened and passed, by the name or the address of its socket unit.
    pub(super) address: Located<String>,
    /// Who may connect to a Unix socket, as the mode of its file: `"0660"`. By default its owner, `"0600"`.
    pub(super) mode: Option<Located<String>>,
    /// `required`: proxies are in front of it, and each connection begins with a header of the PROXY protocol, version 1
    /// or 2, that says whose it is. Without it clients connect themselves.
    pub(super) proxy_protocol: Option<Located<ProxyProtocol>>,
    /// Proxies in front of it say of each request whose it is, by `X-Forwarded-For`: so many of them, one behind the other, so
    /// that as many of its last entries are theirs. The first of these is the client, and what `X-Forwarded-Proto` says is its
    /// scheme. Certificates of these proxies are no credentials. From others than `trusted_proxies` these fields are not
    /// read. Without it they are read from nobody.
    pub(super) forwarded_for: Option<Located<u32>>,
    /// Who these proxies are: networks such as `10.0.0.0/8`, and `unix` for whoever may connect to a Unix socket. With
    /// `proxy_protocol` others are not served.
    pub(super) trusted_proxies: Option<Located<Vec<Located<String>>>>,
    /// Whether connections are redirected to it that were meant for elsewhere (by an iptables rule), and upstreams with
    /// `original_destination` get them. By default not.
    pub(super) original_destination: Option<Located<bool>>,
    /// Serve TLS. Without it the listener speaks in the clear.
    pub(super) tls: Option<Tls>,
    /// Clients name it as their proxy (`HTTP_PROXY`, `HTTPS_PROXY`), and say by `Proxy-Authorization` who they are. Of the
    /// routes only those count that name a host. Without it clients take it for the service itself.
    pub(super) explicit_proxy: Option<Located<ExplicitProxy>>,
}

/// How agents reach services elsewhere: requests in absolute-form, and CONNECT where it is intercepted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplicitProxy {
    /// The authority that vouches for the ends of tunnels, which agents have to trust. Without it CONNECT is refused: there
    /// are no tunnels that nobody looks into.
    pub(super) interception: Option<Located<Interception>>,
}

/// A private authority: its certificate and its key, both PEM. They are read again when the files change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Interception {
    /// The authority's certificate, and after it those between it and the one that agents trust.
    pub(super) certificate: Located<String>,
    /// Its private key.
    pub(super) key: Located<String>,
}

/// Whether connections begin with a header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProxyProtocol {
    /// Each does, or it is closed.
    Required,
}

/// A certificate and its key, both PEM. They are read again when the files change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// The certificate chain, the server's own certificate first.
    pub(super) certificate: Located<String>,
    /// The private key.
    pub(super) key: Located<String>,
    /// More certificates, each for the DNS names that are in it: clients say which they want (SNI). Without a name, or with
    /// one that is in none of these, they get the one above.
    #[serde(default)]
    pub(super) additional: Vec<Located<Certificate>>,
    /// Ask clients for certificates (mutual TLS). Without it they are not asked.
    pub(super) client: Option<ClientCertificates>,
}

/// Which certificates of clients are accepted. One that is shown must be good, whether or not it is required.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientCertificates {
    /// A PEM file with the only authorities to trust; read again when it changes.
    pub(super) ca_file: Located<String>,
    /// Whether clients without a certificate are turned away. By default they are.
    pub(super) required: Option<bool>,
}

/// The telemetry listener.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Telemetry {
    /// `IP:PORT` for `/metrics`, `/livez` and `/readyz`.
    pub(super) address: Located<String>,
    /// The names by which `/metrics` may be asked for, beside `localhost` and addresses, against pages of browsers that ask by a
    /// name of their own. By default none for an address of the loopback, and any for others.
    #[serde(default)]
    pub(super) hosts: Vec<Located<String>>,
}

/// The operator's door.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    /// A Unix socket that is made at the start, for the owner of the process only.
    pub(super) socket: Located<String>,
}

/// Passing the listening sockets on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HandOver {
    /// A Unix socket that is made at the start, for the owner of the process only.
    pub(super) socket: Located<String>,
}

/// A certificate and its key, both PEM. They are read again when the files change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    /// The certificate chain, the proxy's own certificate first.
    pub(super) certificate: Located<String>,
    /// The private key.
    pub(super) key: Located<String>,
}

/// Where connections go that were redirected.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OriginalDestination {
    /// The networks that they may go to: clients choose addresses freely. At least one.
    pub(super) within: Located<Vec<Located<String>>>,
}

/// Services elsewhere, which agents reach through a listener with `explicit_proxy`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestedHost {
    /// The only networks that their addresses may be in. By default those of the public internet: nothing that is private,
    /// of this machine, or a cloud's metadata.
    pub(super) within: Option<Located<Vec<Located<String>>>>,
}

/// A service behind the proxy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    /// `http://host:port`, `https://host:port`, or the Unix socket `unix:PATH`. All addresses of a name are endpoints.
    /// Without it there is `urls`, `original_destination` or `requested_host`.
    pub(super) url: Option<Located<String>>,
    /// In the place of `url`: several of them, for one and the same service. Each request goes to the endpoint with the
    /// fewest on their way.
    pub(super) urls: Option<Located<Vec<Located<String>>>>,
    /// In the place of `url`: connections go, in the clear, to where the client's own was meant to go before it was
    /// redirected to a listener with `original_destination`.
    pub(super) original_destination: Option<Located<OriginalDestination>>,
    /// In the place of `url`: requests go to the host that the client of an explicit proxy asks for, over TLS if that is
    /// `https`. A route with this upstream names a host.
    pub(super) requested_host: Option<Located<RequestedHost>>,
    /// What is spoken there: `http1`, `http2`, or `auto` (the default), which over TLS is what the upstream chooses (ALPN,
    /// HTTP/2 if it can) and in the clear is HTTP/1.1.
    #[serde(default)]
    pub(super) protocol: UpstreamProtocol,
    /// For `https`: a PEM file with the only authorities to trust. By default the machine's.
    pub(super) ca_file: Option<Located<String>>,
    /// For `https`: what the upstream is shown when it asks for a certificate. Without it nothing.
    pub(super) client: Option<Located<Certificate>>,
    /// For `https`, with `ca_file`: the SPIFFE ID that the upstream's certificate must have, exactly, in the place of its
    /// host's name.
    pub(super) spiffe_id: Option<Located<String>>,
    /// Whether the upstream gets the host that the client asked for (the default) or the one of its URL.
    pub(super) preserve_host: Option<Located<bool>>,
    /// Whether it is told what was decided by a signed token too, as `transaction_tokens` says. By default it is not.
    pub(super) transaction_token: Option<Located<bool>>,
    /// From the first packet to a usable connection, with all endpoints that are tried. By default 2s.
    pub(super) connect_timeout: Option<Located<String>>,
    /// From the sent request to the head of the answer, with all attempts. By default 30s.
    pub(super) response_timeout: Option<Located<String>>,
    /// How often names are resolved, beside the requests. By default 10s. One that cannot be resolved any more keeps its
    /// addresses for an hour.
    pub(super) refresh: Option<Located<String>>,
    /// How long a connection takes new requests; by chance up to a tenth less. By default 10m.
    pub(super) connection_age: Option<Located<String>>,
    /// How much of it may be in use at one time. Without it that is not bounded.
    pub(super) limits: Option<UpstreamLimits>,
    /// When an endpoint that fails is left alone for a while.
    pub(super) ejection: Option<Located<Ejection>>,
    /// How endpoints are asked whether they are well. Without it they are not.
    pub(super) health: Option<Located<Health>>,
    /// Which requests are sent again. Without it none that the upstream may have seen.
    pub(super) retries: Option<Located<Retries>>,
}

/// What is spoken to an upstream.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum UpstreamProtocol {
    /// Over TLS what the upstream chooses, in the clear HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: in the clear by prior knowledge, which gRPC servers need.
    Http2,
}
