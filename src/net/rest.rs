//! What is left of a request's body when nobody reads it any more.

use std::{future::poll_fn, pin::Pin, time::Duration};

use hyper::body::{Body, Incoming};
use tokio::{runtime::Handle, time::timeout};

/// So long it is heard out.
const LONGEST: Duration = Duration::from_secs(1);
/// So many bytes of it are.
const MOST: usize = 16 * 1024 * 1024;

/// Hears a body out and forgets it, within bounds. Clients that have sent all before they read would else not see why
/// they were refused: over HTTP/1.1 the end of the connection takes an unread answer back (TCP resets), and over HTTP/2
/// their stream is gone while they still send.
pub(super) fn hear_out(mut body: Incoming) {
    // There is always one where a connection is served.
    let Ok(runtime) = Handle::try_current() else { return };
    runtime.spawn(timeout(LONGEST, async move {
        let mut heard = 0;
        while heard < MOST
            && let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
        {
            heard += frame.data_ref().map_or(0, bytes::Bytes::len);
        }
    }));
}
