//! Attempts to connect that race: whoever is slow holds up nobody.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{net::TcpStream, time::timeout};

/// So long an attempt goes on alone before the next one begins (RFC 8305, section 5).
const DELAY: Duration = Duration::from_millis(250);
/// Of the addresses of one name, no more are tried.
const ADDRESSES: usize = 6;

/// How a race has ended.
#[derive(Debug)]
pub(super) struct Won<C, T> {
    pub(super) winner: C,
    pub(super) made: T,
    /// Who was begun before the winner, and had come to nothing yet.
    pub(super) overtaken: Vec<C>,
}

/// Attempts one candidate after another, and is over with the first success: what others have begun is dropped. The next
/// one begins when one has failed, and when the one before has taken long. `None` if there was no candidate at all.
///
/// A candidate is told of its own failure. How many there are, and how long it may take as a whole, is for the caller.
pub(super) async fn race<C: Clone, T, E, F: Future<Output = Result<T, E>>>(
    mut next: impl FnMut() -> Option<C>,
    attempt: impl Fn(C) -> F,
    mut failed: impl FnMut(&C, &E),
) -> Option<Result<Won<C, T>, E>> {
    let (mut running, mut begun, mut problem) = (FuturesUnordered::new(), Vec::new(), None);
    loop {
        let candidate = next();
        let may_be_more = candidate.is_some();
        if let Some(candidate) = candidate {
            let (number, attempting) = (begun.len(), attempt(candidate.clone()));
            begun.push(Some(candidate));
            running.push(async move { (number, attempting.await) });
        }
        let patience = if may_be_more { DELAY } else { Duration::MAX };
        let Ok(ended) = timeout(patience, running.next()).await else { continue };
        let Some((number, ended)) = ended else { return problem.map(Err) };
        let candidate = begun.get_mut(number).and_then(Option::take)?;
        match ended {
            Ok(made) => {
                let overtaken = begun.into_iter().take(number).flatten().collect();
                return Some(Ok(Won { winner: candidate, made, overtaken }));
            }
            Err(error) => {
                failed(&candidate, &error);
                problem = Some(error);
            }
        }
    }
}

/// The first connection to one of these addresses, by turns of their families.
pub(super) async fn first(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    if let [only] = addresses.as_slice() {
        return TcpStream::connect(only).await;
    }
    let mut addresses = by_turns(addresses).take(ADDRESSES);
    let won = race(|| addresses.next(), TcpStream::connect, |_, _| {}).await;
    won.unwrap_or_else(|| Err(io::Error::other("it has no addresses"))).map(|won| won.made)
}

/// The addresses of either family by turns, beginning with that of the first (RFC 8305, section 4): a machine may have one
/// family that leads nowhere.
fn by_turns(addresses: Vec<SocketAddr>) -> impl Iterator<Item = SocketAddr> {
    let leads = addresses.first().map(SocketAddr::is_ipv4);
    let (leading, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| Some(address.is_ipv4()) == leads);
    let (mut turn, mut after) = (leading.into_iter(), others.into_iter());
    std::iter::from_fn(move || {
        let address = turn.next().or_else(|| after.next());
        std::mem::swap(&mut turn, &mut after);
        address
    })
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use tokio::time::{Instant, sleep};

    use super::*;

    /// What becomes of each candidate: after so many milliseconds, and how.
    type Fate = (u64, Result<&'static str, &'static str>);

    const NEVER: Fate = (u64::MAX, Ok(""));

    /// Who has won and who was overtaken, who has failed, and how many were begun.
    async fn raced(fates: &[Fate]) -> (Option<Result<(usize, Vec<usize>), &'static str>>, Vec<usize>, usize) {
        let (mut candidates, begun, mut failed) = (0..fates.len(), Cell::new(0), Vec::new());
        let attempt = |candidate: usize| {
            begun.set(begun.get() + 1);
            async move {
                let (after, outcome) = fates[candidate];
                if after == u64::MAX {
                    pending::<()>().await;
                }
                sleep(Duration::from_millis(after)).await;
                outcome
            }
        };
        let ended = race(|| candidates.next(), attempt, |candidate, _| failed.push(*candidate)).await;
        (ended.map(|ended| ended.map(|won| (won.winner, won.overtaken))), failed, begun.get())
    }

    #[tokio::test]
    async fn the_next_begins_when_one_has_failed_or_takes_long() {
        assert_eq!(raced(&[(1, Ok("a")), (0, Ok("b"))]).await, (Some(Ok((0, vec![]))), vec![], 1));
        let ended = raced(&[(1, Err("no")), (1, Err("no")), (1, Ok("c")), NEVER]).await;
        assert_eq!(ended, (Some(Ok((2, vec![]))), vec![0, 1], 3));
        assert_eq!(raced(&[NEVER, (1, Ok("b")), NEVER]).await, (Some(Ok((1, vec![0]))), vec![], 2));
        // One that takes long may still be the first, and who was begun after it was not overtaken.
        assert_eq!(raced(&[(600, Ok("a")), NEVER, NEVER]).await, (Some(Ok((0, vec![]))), vec![], 3));
        let ended = raced(&[NEVER, (1, Err("no")), (1, Ok("c"))]).await;
        assert_eq!(ended, (Some(Ok((2, vec![0]))), vec![1], 3));
    }

    #[tokio::test]
    async fn an_attempt_is_alone_for_a_while() {
        let begun = Instant::now();
        assert_eq!(raced(&[NEVER, (0, Ok("b"))]).await.0, Some(Ok((1, vec![0]))));
        assert!(begun.elapsed() >= DELAY);
        let begun = Instant::now();
        assert_eq!(raced(&[(0, Err("no")), (0, Ok("b"))]).await.0, Some(Ok((1, vec![]))));
        assert!(begun.elapsed() < DELAY, "who has failed is not waited for: {:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_race_without_a_winner_tells_the_last_problem() {
        assert_eq!(raced(&[]).await, (None, vec![], 0));
        assert_eq!(raced(&[(400, Err("slow")), (0, Err("no"))]).await, (Some(Err("slow")), vec![1, 0], 2));
    }

    #[test]
    fn families_take_turns() {
        let turns = |addresses: &[&str]| -> Vec<String> {
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            by_turns(addresses).map(|address| address.ip().to_string()).collect()
        };
        let mixed = ["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1", "192.0.2.1:1", "192.0.2.2:1"];
        assert_eq!(turns(&mixed), ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"]);
        assert_eq!(turns(&["192.0.2.1:1", "[2001:db8::1]:1"]), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(turns(&["192.0.2.1:1", "192.0.2.2:1"]), ["192.0.2.1", "192.0.2.2"]);
        assert!(turns(&[]).is_empty());
    }
}
