//! How many connections come from one source.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// The connections of each source, at most so many at one time. A source is an IPv4 address, or the first half of an IPv6
/// address (RFC 4291, section 2.5.4), whose second half a client chooses as it likes.
#[derive(Debug)]
pub struct Sources {
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// The place of one connection among those of its source, until it is dropped.
#[derive(Debug)]
pub(super) struct SourcePlace {
    sources: Arc<Sources>,
    source: IpAddr,
}

impl Sources {
    /// At most so many from each source.
    pub fn at_most(most: usize) -> Self {
        Self { most, open: Mutex::default() }
    }

    /// The place of one more connection from this address, if there are not so many already.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<SourcePlace> {
        let source = source(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(source).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(SourcePlace { sources: Arc::clone(self), source })
    }
}

impl Drop for SourcePlace {
    fn drop(&mut self) {
        let mut open = self.sources.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.source);
            }
        }
    }
}

fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_so_many_places_and_no_more() {
        let sources = Arc::new(Sources::at_most(2));
        let enter = |address: &str| sources.enter(address.parse().unwrap());
        let (first, second) = (enter("192.0.2.7").unwrap(), enter("::ffff:192.0.2.7").unwrap());
        assert!(enter("192.0.2.7").is_none());
        let other = (enter("2001:db8::1").unwrap(), enter("2001:db8::2").unwrap());
        assert!(enter("2001:db8::3").is_none(), "one network");
        drop(first);
        assert!(enter("192.0.2.7").is_some());
        drop((second, other));
        assert!(sources.open.lock().unwrap().is_empty());
    }
}
