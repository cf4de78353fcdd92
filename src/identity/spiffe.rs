//! SPIFFE IDs, and the subjects that they stand for.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use crate::access::{Entity, InvalidName, InvalidTemplate, Template};

/// The longest SPIFFE ID, in bytes (SPIFFE ID specification, section 2.3).
const LONGEST_ID: usize = 2048;

/// The longest name of a trust domain, in bytes (section 2.1).
const LONGEST_DOMAIN: usize = 255;

const SCHEME: &str = "spiffe://";

/// Why a text is not a SPIFFE ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidSpiffeId {
    /// It does not begin with `spiffe://`, in lower case.
    #[error("it does not begin with `spiffe://`")]
    Scheme,
    /// Empty, too long, or with other characters than `a` to `z`, digits, `.`, `-` and `_`: so neither a port nor user
    /// information.
    #[error("a trust domain is 1 to 255 of `a` to `z`, `0` to `9`, `.`, `-` and `_`")]
    TrustDomain,
    /// A segment that is empty, `.` or `..`, or has other characters than ASCII letters, digits, `.`, `-` and `_`: so
    /// neither a query, nor a fragment, nor an escape.
    #[error("a segment of its path is empty, a dot segment, or has a character that is none of a path's")]
    Path,
    /// Longer than 2048 bytes.
    #[error("it is longer than 2048 bytes")]
    TooLong,
}

/// The name of a trust domain, compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = InvalidSpiffeId;

    fn from_str(text: &str) -> Result<Self, InvalidSpiffeId> {
        if is_trust_domain(text) { Ok(Self(text.into())) } else { Err(InvalidSpiffeId::TrustDomain) }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SPIFFE ID in its one spelling, `spiffe://trust-domain/path`. Nothing in it is folded or decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpiffeId {
    text: Arc<str>,
    // INVARIANT: where the path begins, after the trust domain.
    path: usize,
}

impl SpiffeId {
    /// The whole text.
    pub fn as_str(&self) -> &Arc<str> {
        &self.text
    }

    /// The name of its trust domain.
    pub fn trust_domain(&self) -> &str {
        self.text.get(SCHEME.len()..self.path).unwrap_or_default()
    }

    /// The segments of its path; none if it is the trust domain's own ID.
    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.text.get(self.path..).unwrap_or_default().split('/').skip(1)
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidSpiffeId;

    fn from_str(text: &str) -> Result<Self, InvalidSpiffeId> {
        if text.len() > LONGEST_ID {
            return Err(InvalidSpiffeId::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(InvalidSpiffeId::Scheme)?;
        let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !is_trust_domain(domain) {
            return Err(InvalidSpiffeId::TrustDomain);
        }
        if !path.split('/').skip(1).all(is_segment) {
            return Err(InvalidSpiffeId::Path);
        }
        Ok(Self { text: text.into(), path: SCHEME.len() + domain.len() })
    }
}

fn is_trust_domain(text: &str) -> bool {
    let legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    (1..=LONGEST_DOMAIN).contains(&text.len()) && text.bytes().all(legal)
}

fn is_segment(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !matches!(text, "" | "." | "..") && text.bytes().all(legal)
}

/// Why a path and a template say no subjects.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSpiffeSubject {
    /// The path does not begin with `/`, or a segment is neither a legal text, nor `*`, nor `{name}`; `{*name}` may only
    /// be the last one.
    #[error("`{0}` is no path of SPIFFE IDs, write it like `/agents/{{name}}`")]
    Path(String),
    /// Two segments are captured under one name.
    #[error("`{{{0}}}` is in the path twice")]
    RepeatedCapture(String),
    /// Its braces are wrong, or it has a variable that the path does not capture.
    #[error(transparent)]
    Template(#[from] InvalidTemplate),
    /// The subject does not begin with a type.
    #[error("`{0}` does not begin with a type, write it like `agent:{{name}}`")]
    NoType(String),
    /// A captured segment is not in the subject, so that several IDs would be one subject.
    #[error("`{{{0}}}` is not in the subject, so that several IDs would be one: use it, or write `*` for it")]
    UnusedCapture(String),
    /// No ID could make it an entity.
    #[error("`{text}` never makes an entity: {problem}")]
    NoEntity {
        /// The template.
        text: String,
        /// What is wrong with all that it makes.
        problem: InvalidName,
    },
}

/// The SPIFFE IDs of one trust domain, and the subjects that they stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpiffeSubjects {
    /// Its exact name.
    pub trust_domain: TrustDomain,
    /// Which IDs stand for which subjects; the first one that an ID is of counts.
    pub subjects: Vec<SpiffeSubject>,
}

/// Which SPIFFE IDs of a trust domain stand for which subjects: those of a path such as `/agents/{name}` for
/// `agent:{name}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpiffeSubject {
    path: Box<[Segment]>,
    subject: Template<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// Exactly this.
    Literal(Box<str>),
    /// Any one segment, which does not matter.
    Any,
    /// Any one segment, by this name.
    Capture(Box<str>),
    /// All that are left, at least one.
    Rest(Box<str>),
}

impl Segment {
    fn parse(text: &str) -> Option<Self> {
        let Some(name) = text.strip_prefix('{') else {
            return match text {
                "*" => Some(Self::Any),
                text => is_segment(text).then(|| Self::Literal(text.into())),
            };
        };
        let name = name.strip_suffix('}')?;
        let (name, rest) = name.strip_prefix('*').map_or((name, false), |name| (name, true));
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        (!name.is_empty() && name.bytes().all(legal))
            .then(|| if rest { Self::Rest(name.into()) } else { Self::Capture(name.into()) })
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Capture(name) | Self::Rest(name) => Some(name),
            Self::Literal(_) | Self::Any => None,
        }
    }
}

impl SpiffeSubject {
    /// The IDs of this path stand for this subject. Every captured segment must be in the subject, so that two IDs are
    /// never one subject by an oversight.
    pub fn parse(path: &str, subject: &str) -> Result<Self, InvalidSpiffeSubject> {
        let invalid = || InvalidSpiffeSubject::Path(path.to_owned());
        let texts = path.strip_prefix('/').ok_or_else(invalid)?.split('/');
        let segments = texts.map(Segment::parse).collect::<Option<Box<[_]>>>().ok_or_else(invalid)?;
        let inner = segments.split_last().map_or(&[][..], |(_, inner)| inner);
        if inner.iter().any(|segment| matches!(segment, Segment::Rest(_))) {
            return Err(invalid());
        }
        let names: Vec<&str> = segments.iter().filter_map(Segment::name).collect();
        for (index, name) in names.iter().enumerate() {
            if names.iter().take(index).any(|other| other == name) {
                return Err(InvalidSpiffeSubject::RepeatedCapture((*name).to_owned()));
            }
        }
        let template = Template::parse(subject, |name| {
            let place = names.iter().position(|known| *known == name);
            place.ok_or_else(|| format!("`{{{name}}}` is not captured by the path `{path}`"))
        })?;
        if template.type_name().is_none_or(str::is_empty) {
            return Err(InvalidSpiffeSubject::NoType(subject.to_owned()));
        }
        for (index, name) in names.iter().enumerate() {
            if !template.variables().any(|variable| variable.source == index) {
                return Err(InvalidSpiffeSubject::UnusedCapture((*name).to_owned()));
            }
        }
        let sample = template.render(|_, out| {
            out.push('x');
            Ok::<(), ()>(())
        });
        match sample.unwrap_or_default().parse::<Entity>() {
            Ok(_) => Ok(Self { path: segments, subject: template }),
            Err(problem) => Err(InvalidSpiffeSubject::NoEntity { text: subject.to_owned(), problem }),
        }
    }

    /// The type of all subjects of this path.
    pub(super) fn type_name(&self) -> &str {
        self.subject.type_name().unwrap_or_default()
    }

    /// Whether an ID of this path and one of the other could be one subject, as far as the literal beginnings tell.
    pub(super) fn may_meet(&self, other: &Self) -> bool {
        let beginning = |rule: &Self| (rule.subject.beginning().to_owned(), rule.subject.variables().next().is_some());
        match (beginning(self), beginning(other)) {
            ((one, false), (other, false)) => one == other,
            ((one, true), (other, false)) => other.starts_with(&one),
            ((one, false), (other, true)) => one.starts_with(&other),
            ((one, true), (other, true)) => one.starts_with(&other) || other.starts_with(&one),
        }
    }

    /// The subject that the ID stands for, if it is one of this path.
    pub(super) fn subject_of(&self, id: &SpiffeId) -> Option<Entity> {
        let mut captured: Vec<String> = Vec::new();
        let mut given = id.segments();
        for segment in &self.path {
            let text = given.next()?;
            match segment {
                Segment::Literal(literal) if **literal == *text => {}
                Segment::Literal(_) => return None,
                Segment::Any => {}
                Segment::Capture(_) => captured.push(text.to_owned()),
                Segment::Rest(_) => {
                    let rest: Vec<&str> = std::iter::once(text).chain(given.by_ref()).collect();
                    captured.push(rest.join("/"));
                }
            }
        }
        if given.next().is_some() {
            return None;
        }
        let text = self.subject.render(|index, out| {
            out.push_str(captured.get(*index).map_or("", String::as_str));
            Ok::<(), ()>(())
        });
        text.ok()?.parse().ok()
    }
}
