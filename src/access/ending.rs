//! Which header fields end at a proxy, told by their names.

use http::{HeaderName, header};

/// Fields that end at this hop (RFC 9110, section 7.6.1).
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What frames a message: written anew for the next hop.
const FRAMING: &[&str] = &["content-length", "expect"];

/// Fields by which others tell upstreams who is asking or what is really meant. Clients may not.
const RESERVED: &[&str] = &[
    "ali-cdn-real-ip",
    "base-url",
    "cdn-real-ip",
    "cdn-src-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-ip",
    "cluster-client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "front-end-https",
    "http-destinationurl",
    "http-url",
    "proxy",
    "proxy-client-ip",
    "proxy-host",
    "proxy-url",
    "real-ip",
    "request-uri",
    "sudo",
    "true-client-ip",
    "x-anonymous-consumer",
    "x-apigateway-api-userinfo",
    "x-arr-clientcert",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-dn",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-custom-ip-authorization",
    "x-email",
    "x-endpoint-api-userinfo",
    "x-forward-for",
    "x-forwarder-for",
    "x-groups",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-id-token",
    "x-method",
    "x-method-override",
    "x-originating-ip",
    "x-override-url",
    "x-proxy-host",
    "x-proxy-url",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-scheme",
    "x-sendfile",
    "x-spiffe-id",
    "x-subject",
    "x-true-ip",
    "x-url-scheme",
    "x-user",
    "x-userid",
    "x-userinfo",
    "x-username",
];

/// Families of the same kind, by their beginning.
const RESERVED_FAMILIES: &[&str] = &[
    "cf-access-",
    "client-cert",
    "impersonate-",
    "oidc-",
    "portcullis-",
    "remote-",
    "ssl-",
    "tailscale-user-",
    "wl-proxy-",
    "x-accel-",
    "x-amzn-mtls-",
    "x-amzn-oidc-",
    "x-appengine-user-",
    "x-auth-",
    "x-authenticated-",
    "x-authentik-",
    "x-client-cert",
    "x-consumer-",
    "x-credential-",
    "x-envoy-",
    "x-forwarded",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-http-destination",
    "x-invoke-",
    "x-jwt-",
    "x-matched-",
    "x-middleware-",
    "x-ms-client-principal",
    "x-ms-token-",
    "x-original-",
    "x-pomerium-",
    "x-portcullis-",
    "x-remote-",
    "x-rewrite-",
    "x-ssl-",
    "x-tls-client-",
    "x-user-",
    "x-vouch-",
    "x-webauth-",
];

/// How reserved names and families begin: see [`Beginnings::may_hold`].
static RESERVED_BEGINNINGS: Beginnings = Beginnings::of(&[RESERVED, RESERVED_FAMILIES]);

/// How names begin of fields that may end at this hop.
static ENDING_BEGINNINGS: Beginnings = Beginnings::of(&[RESERVED, RESERVED_FAMILIES, HOP_BY_HOP, FRAMING]);

/// The three letters that names begin with, after an `x-` if there is one, so that almost all other names are told apart
/// at once.
struct Beginnings {
    // By the first two letters, five bits of each, and whether they follow an `x-`: which letters may follow, each as
    // one bit.
    third: [u32; 2048],
}

impl Beginnings {
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler alone")]
    const fn of(mut lists: &[&[&str]]) -> Self {
        let mut third = [0; 2048];
        while let [list, rest @ ..] = lists {
            let mut names = *list;
            while let [name, others @ ..] = names {
                // Shorter ones are never told apart.
                if let Some((place, bit)) = Self::place(name.as_bytes()) {
                    third[place] |= bit;
                }
                names = others;
            }
            lists = rest;
        }
        Self { third }
    }

    const fn place(name: &[u8]) -> Option<(usize, u32)> {
        let (extension, [one, two, three, ..]) = (match name {
            [b'x', b'-', rest @ ..] => (1, rest),
            _ => (0, name),
        }) else {
            return None;
        };
        Some((extension << 10 | ((*one & 31) as usize) << 5 | (*two & 31) as usize, 1 << (*three & 31)))
    }

    /// Whether one of the names may begin like this one; if not, it is none of them. Of names with less than three
    /// letters nothing is known.
    fn may_hold(&self, name: &[u8]) -> bool {
        let third = |(place, bit)| self.third.get(place).is_some_and(|third: &u32| third & bit != 0);
        Self::place(name).is_none_or(third)
    }
}

/// Whether the field ends at this hop.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(&name.as_str())
}

/// Whether the field frames a message.
pub(super) fn is_framing(name: &HeaderName) -> bool {
    FRAMING.contains(&name.as_str())
}

/// Whether the field is one that only a proxy may set.
pub fn is_reserved(name: &HeaderName) -> bool {
    let name = name.as_str();
    RESERVED_BEGINNINGS.may_hold(name.as_bytes()) && (RESERVED.binary_search(&name).is_ok() || is_of_a_family(name))
}

/// No family's name begins like another's, so that only the last one which is not after the name can hold it.
fn is_of_a_family(name: &str) -> bool {
    let after = RESERVED_FAMILIES.partition_point(|family| *family <= name);
    let family = after.checked_sub(1).and_then(|last| RESERVED_FAMILIES.get(last));
    family.is_some_and(|family| name.starts_with(family))
}

/// Whether the field of a message ends here, whichever way the message goes.
pub fn ends_here(name: &HeaderName) -> bool {
    ENDING_BEGINNINGS.may_hold(name.as_str().as_bytes()) && (is_hop_by_hop(name) || is_reserved(name))
}

/// Whether the field of a request ends here, or is written anew for the next hop.
pub(super) fn ends_or_frames(name: &HeaderName) -> bool {
    let may_end = ENDING_BEGINNINGS.may_hold(name.as_str().as_bytes());
    may_end && (is_framing(name) || is_hop_by_hop(name) || is_reserved(name))
}

/// Whether a decision may be made by the field: it reaches the upstream as the client sent it.
pub fn is_end_to_end(name: &HeaderName) -> bool {
    let replaced = [header::AUTHORIZATION, header::CONTENT_LENGTH, header::EXPECT, header::HOST, header::VIA];
    !is_hop_by_hop(name) && !is_reserved(name) && !replaced.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_names_are_sorted_for_the_search() {
        assert!(RESERVED.is_sorted() && RESERVED_FAMILIES.is_sorted());
        let nested = |pair: &[&str]| pair.last().is_some_and(|last| pair.first().is_some_and(|f| last.starts_with(f)));
        assert!(!RESERVED_FAMILIES.windows(2).any(nested), "one family's name begins like another's");
    }

    #[test]
    fn what_ends_here_is_found_by_its_beginning() {
        let ends = |name: &&str| ends_here(&HeaderName::from_bytes(name.as_bytes()).unwrap());
        assert!(HOP_BY_HOP.iter().all(ends) && ends(&"x-forwarded-for"));
        assert!(!ends(&"accept") && !ends(&"x"));
    }

    #[test]
    fn reserved_families_are_found_by_their_beginning() {
        for name in ["x-forwarded-for", "x-forwarded", "portcullis-subject", "x-original-url", "forwarded", "x-real-ip"]
        {
            assert!(is_reserved(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["accept", "x-request-id", "x-task-id", "cookie", "x", "x-"] {
            assert!(!is_reserved(&HeaderName::from_static(name)), "{name}");
        }
        for name in RESERVED.iter().chain(RESERVED_FAMILIES) {
            assert!(is_reserved(&HeaderName::from_static(name)), "{name}");
        }
    }
}
