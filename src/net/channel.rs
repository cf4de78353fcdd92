//! What a client's connection is read from and written to: in the clear, by TLS, or out of a tunnel.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::either::Either;

use super::socket::Socket;

/// A connection of any kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A client's connection, in the clear or encrypted. One type for all kinds, so that what speaks HTTP above it is compiled
/// once: the pages of code that a process holds are a part of its memory.
///
/// What is encrypted is in a box: most connections of most listeners are in the clear, and none has to be so large for that.
pub(super) type Channel = Either<Socket, Box<dyn Stream>>;
