//! SHA-256, by which tokens, keys and key sets are known.

use aws_lc_rs::digest::{SHA256, digest};

/// The SHA-256 digest (FIPS 180-4) of the bytes.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(digest(&SHA256, bytes).as_ref());
    array
}
