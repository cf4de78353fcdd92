//! The routes of a snapshot, and the one that is most specific for a request.

use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Duration};

use foldhash::fast::RandomState;
use http::Method;
use smallvec::SmallVec;

use crate::access::{
    Authority, CanonicalRequest, CredentialHandling, CredentialRule, HeaderProblem, Place, Scheme, decoded_segment,
};

use super::{
    matcher::{HeaderMatch, HostPattern, PathTemplate, Segment},
    operation::Operation,
    origin::Origin,
};

/// The index of an upstream in the snapshot that the route is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UpstreamId(pub usize);

/// One route: what it matches, where it leads, what its methods stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The name in records and metric labels.
    pub name: Arc<str>,
    /// Which hosts it is for.
    pub host: HostPattern,
    /// Which paths it is for.
    pub path: PathTemplate,
    /// Which header fields it asks for.
    pub headers: Box<[HeaderMatch]>,
    /// Where it leads.
    pub upstream: UpstreamId,
    /// Which kinds of credentials its requests must bring, if it says so.
    pub authentication: Option<CredentialRule>,
    /// Whether the upstream gets the credential.
    pub credential: CredentialHandling,
    /// Whether what may not be read looks like what does not exist (404 for 403).
    pub hides_existence: bool,
    /// Whether clients of explicit proxies reach it too.
    pub is_egress: bool,
    /// How long a request's body may pause, if it says so.
    pub body_pause: Option<Duration>,
    /// How long an answer may pause, if it says so.
    pub answer_pause: Option<Duration>,
    /// Whether captured segments may hold escaped slashes.
    pub takes_escaped_slashes: bool,
    /// The origins of the pages that may ask, if it names them.
    pub origins: Option<Box<[Origin]>>,
    /// What its methods stand for.
    pub operations: Operations,
    /// Where the configuration says so.
    pub place: Place,
}

/// What the methods of a route stand for.
pub type Operations = HashMap<Method, Operation, RandomState>;

impl Route {
    /// What the request stands for, if it is one that this route was found for.
    pub fn operation(&self, head: &CanonicalRequest) -> Result<&Operation, RouteProblem> {
        self.operations.get(head.method()).ok_or(RouteProblem::NoRoute)
    }

    /// What the template captures of the path, decoded but for segments with an escaped slash, in the template's order.
    pub fn captures<'h>(&self, head: &'h CanonicalRequest) -> Captures<'h> {
        let mut captures = Captures::new();
        let mut rest = head.path().as_str().get(1..).unwrap_or_default();
        for segment in self.path.segments() {
            let length = match segment {
                // The path holds this text here, or the route would not have been found.
                Segment::Literal(text) => text.len(),
                Segment::Capture => rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len()),
                Segment::Rest => rest.len(),
            };
            let (text, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
            rest = after.get(1..).unwrap_or_default();
            match segment {
                Segment::Literal(_) => {}
                Segment::Capture => captures.push(decoded_segment(text)),
                Segment::Rest => {
                    let decoded: Vec<_> = text.split('/').map(decoded_segment).collect();
                    captures.push(Cow::Owned(decoded.join("/")));
                }
            }
        }
        captures
    }
}

/// The captured segments of a path.
pub type Captures<'h> = SmallVec<[Cow<'h, str>; 4]>;

/// Two routes that could match one request equally: no request could tell which of them decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The index of the earlier one.
    pub first: usize,
    /// The index of the later one.
    pub second: usize,
}

/// Why a request has no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteProblem {
    /// No route matches host, path, header fields and method.
    NoRoute,
    /// A header field that a route asks for has no one value.
    Header(HeaderProblem),
    /// A segment of the path holds an escaped slash, and no route that matches takes any.
    EscapedSlash,
}

/// All routes of a snapshot.
///
/// Of the routes that match host, path, header fields and method, the most specific wins: first by host (one host and
/// port, one host, `*.` and the longest suffix, any), then by path (from left to right a literal before a capture
/// before a rest), then by the number of header fields. Two routes that could win equally are refused.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    // INVARIANT: most specific host first; a route's index is in exactly one of the trees.
    hosts: Vec<(HostPattern, Node)>,
    switches: bool,
    takes_escaped_slashes: bool,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node, RandomState>,
    capture: Option<Box<Node>>,
    // INVARIANT: in both, the routes with more header fields come first.
    rest: Vec<usize>,
    routes: Vec<usize>,
}

impl RouteTable {
    /// Orders the routes, or lists all pairs that could match one request equally.
    pub fn new(routes: Vec<Route>) -> Result<Self, Vec<Conflict>> {
        let switches = routes.iter().flat_map(|route| route.operations.values()).any(|it| it.upgrade.is_some());
        let takes_escaped_slashes = routes.iter().any(|route| route.takes_escaped_slashes);
        let routes = routes.into_iter().map(Arc::new).collect();
        let mut table = Self { routes, hosts: Vec::new(), switches, takes_escaped_slashes };
        let mut conflicts = Vec::new();
        for index in 0..table.routes.len() {
            table.insert(index, &mut conflicts);
        }
        table.hosts.sort_by_key(|(host, _)| std::cmp::Reverse(host.specificity()));
        if conflicts.is_empty() { Ok(table) } else { Err(conflicts) }
    }

    /// All routes, in the order of the configuration.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Whether a request may switch to another protocol anywhere.
    pub fn switches(&self) -> bool {
        self.switches
    }

    /// Whether some route takes paths with escaped slashes.
    pub fn takes_escaped_slashes(&self) -> bool {
        self.takes_escaped_slashes
    }

    /// The most specific route for the request.
    pub fn find(&self, head: &CanonicalRequest) -> Result<&Arc<Route>, RouteProblem> {
        self.find_where(head, |host| host.matches(head.authority(), head.scheme()))
    }

    /// The same of the routes that name the request's host, as a client of an explicit proxy needs it: none, if that is not
    /// for egress.
    pub fn find_egress(&self, head: &CanonicalRequest) -> Result<&Arc<Route>, RouteProblem> {
        let found = self.find_where(head, |host| host.names(head.authority(), head.scheme()))?;
        if found.is_egress { Ok(found) } else { Err(RouteProblem::NoRoute) }
    }

    /// Whether some route for egress names this host.
    pub fn names(&self, authority: &Authority, scheme: Scheme) -> bool {
        self.routes.iter().any(|route| route.is_egress && route.host.names(authority, scheme))
    }

    fn find_where(
        &self,
        head: &CanonicalRequest,
        is_for: impl Fn(&HostPattern) -> bool,
    ) -> Result<&Arc<Route>, RouteProblem> {
        let segments: SmallVec<[&str; 12]> = head.path().segments().collect();
        for (host, tree) in &self.hosts {
            if !is_for(host) {
                continue;
            }
            if let Some(route) = self.walk(tree, &segments, head)? {
                // A server that decodes them would find another resource.
                let may_pass = route.takes_escaped_slashes || !self.has_escaped_slash(head);
                return may_pass.then_some(route).ok_or(RouteProblem::EscapedSlash);
            }
        }
        Err(if self.has_escaped_slash(head) { RouteProblem::EscapedSlash } else { RouteProblem::NoRoute })
    }

    fn has_escaped_slash(&self, head: &CanonicalRequest) -> bool {
        // Without such a route there is no such head.
        self.takes_escaped_slashes && head.path().has_escaped_slash()
    }

    fn walk<'a>(
        &'a self,
        node: &'a Node,
        segments: &[&str],
        head: &CanonicalRequest,
    ) -> Result<Option<&'a Arc<Route>>, RouteProblem> {
        let Some((segment, after)) = segments.split_first() else {
            return self.choose(&node.routes, head);
        };
        let literal = node.literals.get(*segment);
        for next in literal.into_iter().chain(node.capture.as_deref()) {
            if let Some(found) = self.walk(next, after, head)? {
                return Ok(Some(found));
            }
        }
        self.choose(&node.rest, head)
    }

    fn choose<'a>(
        &'a self,
        candidates: &[usize],
        head: &CanonicalRequest,
    ) -> Result<Option<&'a Arc<Route>>, RouteProblem> {
        for route in candidates.iter().filter_map(|index| self.routes.get(*index)) {
            if !route.operations.contains_key(head.method()) {
                continue;
            }
            let mut matches = true;
            for field in &route.headers {
                matches &= field.matches(head).map_err(RouteProblem::Header)?;
            }
            if matches {
                return Ok(Some(route));
            }
        }
        Ok(None)
    }

    fn insert(&mut self, index: usize, conflicts: &mut Vec<Conflict>) {
        let Some(route) = self.routes.get(index) else { return };
        let tree = match self.hosts.iter().position(|(host, _)| *host == route.host) {
            Some(known) => known,
            None => {
                self.hosts.push((route.host.clone(), Node::default()));
                self.hosts.len() - 1
            }
        };
        let Some((_, root)) = self.hosts.get_mut(tree) else { return };
        let mut node = root;
        let mut ends_in_rest = false;
        for segment in route.path.segments() {
            match segment {
                Segment::Literal(text) => node = node.literals.entry(text.clone()).or_default(),
                Segment::Capture => node = node.capture.get_or_insert_default(),
                Segment::Rest => ends_in_rest = true,
            }
        }
        let siblings = if ends_in_rest { &mut node.rest } else { &mut node.routes };
        let known = |other: &usize| self.routes.get(*other).map(|other_route| (*other, other_route));
        let clashes = siblings.iter().filter_map(known).filter(|(_, other)| equally_specific(route, other));
        conflicts.extend(clashes.map(|(first, _)| Conflict { first, second: index }));
        let fields = |other: usize| self.routes.get(other).map_or(0, |route| route.headers.len());
        let position = siblings.partition_point(|other| fields(*other) >= route.headers.len());
        siblings.insert(position, index);
    }
}

/// Whether some request could match both, and nothing would tell which is meant. Host and path are the same already.
fn equally_specific(one: &Route, other: &Route) -> bool {
    let excluded = one.headers.iter().any(|field| other.headers.iter().any(|theirs| field.excludes(theirs)));
    let shared_method = one.operations.keys().any(|method| other.operations.contains_key(method));
    one.headers.len() == other.headers.len() && !excluded && shared_method
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::{
        access::Scheme,
        route::{BodyRule, FormRule, InvalidPattern},
    };

    fn route(text: &str) -> Result<Route, InvalidPattern> {
        let mut words = text.split(' ');
        let methods = words.next().unwrap();
        let (host, path) = words.next().unwrap().split_once('/').unwrap();
        let operation = Operation {
            accesses: Box::default(),
            protocol: None,
            body: BodyRule::Stream { limit: 0, forms: FormRule::Unread },
            task_required: false,
            scopes: Box::default(),
            details: None,
            uses: None,
            bytes: None,
            upgrade: None,
            filter: None,
        };
        let header = |word: &str| {
            let (name, value) = word.split_once('=').unwrap();
            HeaderMatch::new(name.parse().unwrap(), value)
        };
        Ok(Route {
            name: text.into(),
            host: if host.is_empty() { HostPattern::Any } else { HostPattern::parse(host)? },
            path: PathTemplate::parse(&format!("/{path}"))?,
            headers: words.map(header).collect::<Result<_, _>>()?,
            upstream: UpstreamId(0),
            credential: CredentialHandling::Strip,
            authentication: None,
            hides_existence: false,
            is_egress: true,
            body_pause: None,
            answer_pause: None,
            takes_escaped_slashes: false,
            origins: None,
            operations: methods.split(',').map(|name| (name.parse().unwrap(), operation.clone())).collect(),
            place: Place::default(),
        })
    }

    fn table(routes: &[&str]) -> Result<RouteTable, Vec<Conflict>> {
        RouteTable::new(routes.iter().map(|text| route(text).unwrap()).collect())
    }

    fn found(table: &RouteTable, method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<String, RouteProblem> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let head = CanonicalRequest::parse(request.body(()).unwrap().into_parts().0, Scheme::Http).unwrap();
        let route = table.find(&head)?;
        Ok(format!("{} [{}]", route.name, route.captures(&head).join(", ")))
    }

    const A: (&str, &str) = ("host", "a.example");

    #[test]
    fn the_most_specific_path_wins() {
        let table =
            table(&["GET /f/{x}", "GET /f/search", "GET /f/{*rest}", "GET /{a}/search", "GET,PUT /", "DELETE /f/{id}"])
                .unwrap();
        let path = |method: &str, uri: &str| found(&table, method, uri, &[A]);
        assert_eq!(path("GET", "/f/search").unwrap(), "GET /f/search []");
        assert_eq!(path("GET", "/f/b%20c").unwrap(), "GET /f/{x} [b c]");
        assert_eq!(path("GET", "/f/b/c").unwrap(), "GET /f/{*rest} [b/c]");
        assert_eq!(path("GET", "/g/search").unwrap(), "GET /{a}/search [g]");
        assert_eq!(path("DELETE", "/f/search").unwrap(), "DELETE /f/{id} [search]");
        assert_eq!(path("PUT", "/").unwrap(), "GET,PUT / []");
        for (method, uri) in [("GET", "/f"), ("POST", "/f/x"), ("GET", "/F/x"), ("GET", "/g/h"), ("HEAD", "/")] {
            assert_eq!(path(method, uri), Err(RouteProblem::NoRoute), "{method} {uri}");
        }
    }

    #[test]
    fn the_most_specific_host_wins() {
        let table = table(&["GET /x", "GET *.example/x", "GET *.b.example/x", "GET a.example/x", "GET a.example:81/x"])
            .unwrap();
        let host = |host: &str| found(&table, "GET", "/x", &[("host", host)]).unwrap();
        assert_eq!(host("other"), "GET /x []");
        assert_eq!(host("c.example"), "GET *.example/x []");
        assert_eq!(host("a.b.example"), "GET *.b.example/x []");
        assert_eq!(host("A.example"), "GET a.example/x []");
        assert_eq!(host("a.example:81"), "GET a.example:81/x []");
        // Where clients choose whom they reach.
        let named = |host: &str| {
            let request = Request::builder().uri("/x").header("host", host).body(()).unwrap();
            let head = CanonicalRequest::parse(request.into_parts().0, Scheme::Http).unwrap();
            table.find_egress(&head).map(|route| route.name.to_string()).ok()
        };
        assert_eq!(named("a.example").as_deref(), Some("GET a.example/x"));
        assert_eq!(named("a.example:81").as_deref(), Some("GET a.example:81/x"));
        assert_eq!((named("a.example:82"), named("other")), (None, None));
    }

    #[test]
    fn more_header_fields_are_more_specific() {
        let table = table(&["GET /x", "GET /x v=1", "GET /x v=2", "GET /x v=1 w=1"]).unwrap();
        let fields = |fields: &[(&str, &str)]| found(&table, "GET", "/x", &[&[A], fields].concat());
        assert_eq!(fields(&[]).unwrap(), "GET /x []");
        assert_eq!(fields(&[("v", "2")]).unwrap(), "GET /x v=2 []");
        assert_eq!(fields(&[("v", "1"), ("w", "1")]).unwrap(), "GET /x v=1 w=1 []");
        assert_eq!(fields(&[("v", "1"), ("v", "2")]), Err(RouteProblem::Header(HeaderProblem::Repeated)));
    }

    #[test]
    fn routes_that_could_match_equally_are_refused() {
        let conflicts = |routes: &[&str]| table(routes).err().map(|conflicts| conflicts.len());
        assert_eq!(conflicts(&["GET /a/{x}", "GET,PUT /a/{y}"]), Some(1));
        assert_eq!(conflicts(&["GET /a/{*x}", "GET /a/{*y}"]), Some(1));
        assert_eq!(conflicts(&["GET /a v=1", "GET /a w=1"]), Some(1));
        assert_eq!(conflicts(&["GET a.example/a", "GET A.example/a"]), Some(1));
        assert_eq!(conflicts(&["GET /a/{x}", "PUT /a/{y}"]), None);
        assert_eq!(conflicts(&["GET /a v=1", "GET /a v=2"]), None);
        assert_eq!(conflicts(&["GET /a/{x}", "GET /a/{*y}"]), None);
    }
}
