//! What happens when an upstream's endpoints fail.

use std::time::Duration;

use http::uri::PathAndQuery;

use crate::net::{Answers, CONNECTION_AGE, Ejection, EndpointRules, HealthRules, RetryRules};

use super::{file_endpoints as file, file_places::Upstream, located::Located, problems::Problems};

/// The rules with what is written of an upstream whose endpoints are known.
pub(super) fn with_written(mut rules: EndpointRules, written: &Upstream, problems: &mut Problems) -> EndpointRules {
    rules.refresh = problems.duration(written.refresh.as_ref(), rules.refresh);
    rules.connection_age = problems.duration(written.connection_age.as_ref(), CONNECTION_AGE);
    if let Some(limits) = &written.limits {
        let mut limit =
            |number: &Option<Located<u32>>| number.as_ref().map(|number| problems.count_of(Some(number), 0));
        (rules.in_flight, rules.connections) = (limit(&limits.in_flight), limit(&limits.connections));
    }
    if let Some(ejection) = &written.ejection {
        rules.ejection = self::ejection(ejection, problems);
    }
    rules.health = written.health.as_ref().and_then(|health| self::health(health, problems));
    rules.retries = written.retries.as_ref().and_then(|retries| self::retries(retries, problems));
    rules
}

/// Refuses what needs endpoints that are known, of an upstream whose clients choose where they go.
pub(super) fn refuse_written(written: &Upstream, problems: &mut Problems) {
    let keys = [
        ("refresh", written.refresh.as_ref().map(|written| written.place)),
        ("ejection", written.ejection.as_ref().map(|written| written.place)),
        ("health", written.health.as_ref().map(|written| written.place)),
        ("retries", written.retries.as_ref().map(|written| written.place)),
    ];
    for (key, place) in keys {
        if let Some(place) = place {
            problems
                .add(place, format!("`{key}` is for upstreams with a `url`: here the client chooses where it goes"));
        }
    }
}

fn ejection(written: &file::Ejection, problems: &mut Problems) -> Ejection {
    let default = Ejection::default();
    let pause = problems.duration(written.pause.as_ref(), default.pause);
    let longest_pause = problems.duration(written.longest_pause.as_ref(), default.longest_pause.max(pause));
    if let (Some(longest), true) = (&written.longest_pause, longest_pause < pause) {
        problems.add(longest.place, "`longest_pause` is shorter than the first `pause`");
    }
    Ejection {
        failures: number(written.failures.as_ref(), default.failures, problems),
        pause,
        longest_pause,
        at_most: share(written.at_most.as_ref(), 0, problems).unwrap_or(default.at_most),
        answers: match written.gateway_errors {
            Some(true) => Answers::GatewayErrorsFail,
            Some(false) | None => Answers::AllAnswer,
        },
    }
}

fn health(written: &file::Health, problems: &mut Problems) -> Option<HealthRules> {
    let path = written.path.value.parse::<PathAndQuery>().ok().filter(|_| written.path.value.starts_with('/'));
    if path.is_none() {
        let message = format!("`{}` is not a path", written.path.value);
        problems.add_with_help(written.path.place, message, "write what is asked for, such as `/healthz`");
    }
    Some(HealthRules {
        path: path?,
        interval: problems.duration(written.interval.as_ref(), Duration::from_secs(5)),
        timeout: problems.duration(written.timeout.as_ref(), Duration::from_secs(1)),
        failures: number(written.failures.as_ref(), 2, problems),
    })
}

fn retries(written: &file::Retries, problems: &mut Problems) -> Option<RetryRules> {
    let attempts = written.attempts.as_ref().map_or(2, |attempts| attempts.value);
    if !(2..=5).contains(&attempts) {
        let place = written.attempts.as_ref().map(|attempts| attempts.place).unwrap_or_default();
        let help = "write how often a request is sent at most, 2 to 5; without `retries` it is sent once";
        problems.add_with_help(place, format!("`attempts` cannot be {attempts}"), help);
        return None;
    }
    Some(RetryRules { attempts, budget: share(written.budget.as_ref(), 1, problems).unwrap_or(20) })
}

fn number(written: Option<&Located<u32>>, default: u32, problems: &mut Problems) -> u32 {
    match written {
        Some(number) if number.value == 0 => {
            problems.add(number.place, "0 failures are none: write a number above zero");
            default
        }
        Some(number) => number.value,
        None => default,
    }
}

/// A share such as `20%`, not below this.
fn share(written: Option<&Located<String>>, least: u8, problems: &mut Problems) -> Option<u8> {
    let text = written?;
    let share = text.value.strip_suffix('%').and_then(|number| number.trim().parse::<u8>().ok());
    let share = share.filter(|share| (least..=100).contains(share));
    if share.is_none() {
        let message = format!("`{}` is not a share from {least}% to 100%", text.value);
        problems.add_with_help(text.place, message, "write a whole number and `%`, such as `20%`");
    }
    share
}
