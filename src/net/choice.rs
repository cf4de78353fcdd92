//! Which endpoint a request goes to.

use std::{sync::Arc, time::Instant};

use super::endpoint::{Ejection, Endpoint, EndpointState};

/// Among so many endpoints all are compared; among more, two by chance.
const FEW: usize = 4;

/// The endpoint for a request that was not sent to those that were tried: one whose pause is over, else the least loaded of
/// those in service, else the least loaded of the others: that nobody is known to be well is no reason to ask nobody.
pub(super) fn choose(
    endpoints: &[Arc<Endpoint>],
    tried: &[Arc<Endpoint>],
    ejection: &Ejection,
    now: Instant,
) -> Option<Arc<Endpoint>> {
    let is_untried = |endpoint: &Arc<Endpoint>| !tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint));
    if let [only] = endpoints {
        return Some(only).filter(|only| is_untried(only)).cloned();
    }
    if endpoints.len() > FEW && tried.is_empty() {
        let drawn = [fastrand::usize(..endpoints.len()), fastrand::usize(..endpoints.len())];
        let drawn = drawn.map(|index| endpoints.get(index).filter(|one| one.state() == EndpointState::Up));
        if let [Some(one), Some(other)] = drawn {
            return Some(Arc::clone(if one.load() <= other.load() { one } else { other }));
        }
    }
    // From anywhere, so that equal ones get equally many.
    let start = fastrand::usize(..endpoints.len().max(1));
    let untried = endpoints.iter().cycle().skip(start).take(endpoints.len()).filter(|endpoint| is_untried(endpoint));
    let trial = untried.clone().find(|endpoint| endpoint.takes_trial(ejection, now));
    let up = untried.clone().filter(|endpoint| endpoint.state() == EndpointState::Up);
    let least = trial.or_else(|| up.min_by_key(|endpoint| endpoint.load()));
    least.or_else(|| untried.min_by_key(|endpoint| endpoint.load())).cloned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::net::{Target, TargetUrl, Times};

    use super::*;

    fn given(count: usize) -> Vec<Arc<Endpoint>> {
        let times = Times { connect: Duration::from_secs(1), response: Duration::from_secs(1) };
        let target = || Target::new(Arc::new(TargetUrl::nowhere()), None, times);
        (0..count).map(|_| Arc::new(Endpoint::new(target(), 0, Instant::now()))).collect()
    }

    /// How often each of them is chosen.
    fn chosen(endpoints: &[Arc<Endpoint>], tried: &[Arc<Endpoint>], times: usize) -> Vec<usize> {
        let mut counts = vec![0; endpoints.len()];
        for _ in 0..times {
            if let Some(one) = choose(endpoints, tried, &Ejection::default(), Instant::now()) {
                counts[endpoints.iter().position(|endpoint| Arc::ptr_eq(endpoint, &one)).unwrap()] += 1;
            }
        }
        counts
    }

    #[test]
    fn equal_ones_get_equally_many() {
        for count in [2, 4, 5, 20] {
            let endpoints = given(count);
            let counts = chosen(&endpoints, &[], 1000 * count);
            assert!(counts.iter().all(|times| (700..1300).contains(times)), "{counts:?}");
        }
    }

    #[test]
    fn the_least_loaded_of_few_gets_all_and_the_most_loaded_of_many_gets_hardly_any() {
        let few = given(3);
        few[..2].iter().for_each(|endpoint| endpoint.enter());
        assert_eq!(chosen(&few, &[], 100), [0, 0, 100]);
        let many = given(10);
        many[0].enter();
        let counts = chosen(&many, &[], 10_000);
        assert!(counts[0] < 300, "only where it was drawn twice: {counts:?}");
    }

    #[test]
    fn who_is_not_in_service_gets_nothing_unless_nobody_is() {
        for count in [3, 10] {
            let endpoints = given(count);
            let (out, well) = endpoints.split_at(count - 1);
            out[0].eject(&Ejection { pause: Duration::from_secs(600), ..Ejection::default() }, Instant::now());
            out[1..].iter().for_each(|endpoint| assert!(endpoint.checked(false, 1)));
            assert_eq!(chosen(&endpoints, &[], 100)[count - 1], 100);
            assert_eq!(chosen(&endpoints, well, 100).iter().sum::<usize>(), 100);
        }
    }

    #[test]
    fn who_was_tried_is_not_tried_again_and_one_by_one_is_when_its_pause_is_over() {
        let endpoints = given(2);
        assert_eq!(chosen(&endpoints, &endpoints[..1], 10), [0, 10]);
        assert_eq!(chosen(&endpoints, &endpoints, 10), [0, 0]);
        assert_eq!(chosen(&endpoints[..1], &endpoints[..1], 10), [0]);
        assert_eq!(chosen(&[], &[], 10), [0; 0]);
        let ejection = Ejection { pause: Duration::from_millis(1), ..Ejection::default() };
        endpoints[0].eject(&ejection, Instant::now());
        let later = Instant::now() + Duration::from_secs(2);
        let tries = (0..10)
            .filter(|_| Arc::ptr_eq(&choose(&endpoints, &[], &Ejection::default(), later).unwrap(), &endpoints[0]));
        assert_eq!(tries.count(), 1);
    }
}
