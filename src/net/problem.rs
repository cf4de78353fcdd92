//! What was wrong with bytes that never became a request.

use thiserror::Error;

/// Why the bytes of a connection were refused before they were a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeadProblem {
    /// Content-Length and Transfer-Encoding in one head (RFC 9112, section 6.1).
    #[error("both Content-Length and Transfer-Encoding")]
    TwoFramings,
    /// A repeated Content-Length, or chunks whose sizes, extensions or trailers are beyond any use.
    #[error("the framing cannot be followed")]
    UnclearFraming,
    /// A fragment in the request target (RFC 9112, section 3.2).
    #[error("a fragment")]
    Fragment,
    /// A line that ends without CR.
    #[error("a line ends in a bare LF")]
    BareLineFeed,
    /// A CR that ends no line.
    #[error("a bare CR")]
    BareCarriageReturn,
    /// More bytes than a head may have.
    #[error("the head is too long")]
    TooLong,
    /// More fields, or more bytes, than the parser takes. It is answered with 431.
    #[error("the head is beyond the limits")]
    BeyondLimits,
    /// A stream of HTTP/2 that no request came of: what HTTP/2 forbids, more than its list of fields may hold (64 KiB,
    /// answered with 431), or taken back at once (RFC 9113, section 8.1.1).
    #[error("a stream that no request came of")]
    Stream,
    /// The parser could not make a request of it.
    #[error("not HTTP/1.1")]
    NotHttp,
}
