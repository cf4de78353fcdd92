//! What it costs to know who is asking: a token that is new, one that was seen before, and no token at all.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, anyhow, bail, ensure};
use portcullis::{
    access::{CanonicalRequest, Scheme},
    config,
    identity::{Authenticator, SeenCredential},
};

use super::{
    callgrind,
    load::{Extent, Outcome},
    process::{Line, PROXY_CORE, Server, portcullis},
    report::{Report, bar, median},
    world::{World, load_serving, request},
};

/// How many tokens are new to an authenticator, one after the other.
const TOKENS: usize = 220;
/// The counts of instructions whose difference leaves the beginning out: of tokens that are new, and of others.
const NEW_COUNTS: [u32; 2] = [20, 220];
const SEEN_COUNTS: [u32; 2] = [1_000, 11_000];
const ROUNDS: usize = 21;
const CONNECTIONS: u16 = 32;
const EXTENT: Extent = Extent::Time { warm_up: WARM_UP, measured: MEASURED };
const WARM_UP: Duration = Duration::from_millis(300);
const MEASURED: Duration = Duration::from_millis(700);
/// The rate of authenticated requests against the same ones without authentication.
const BAR: f64 = 0.9;

/// How a token comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// For the first time.
    New,
    /// On another connection than before.
    Seen,
    /// On the connection that brought it before.
    Repeated,
}

impl Way {
    const ALL: [Self; 3] = [Self::New, Self::Seen, Self::Repeated];

    const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Seen => "seen",
            Self::Repeated => "repeated",
        }
    }

    const fn caption(self) -> &'static str {
        match self {
            Self::New => "a token that is new",
            Self::Seen => "seen before, on another connection",
            Self::Repeated => "seen before, on this connection",
        }
    }

    const fn counts(self) -> [u32; 2] {
        match self {
            Self::New => NEW_COUNTS,
            Self::Seen | Self::Repeated => SEEN_COUNTS,
        }
    }
}

/// An authenticator of the world's configuration, and requests with different tokens for it.
struct Asked {
    authenticator: Authenticator,
    heads: Vec<CanonicalRequest>,
}

impl Asked {
    fn of(folder: &Path) -> anyhow::Result<Self> {
        let settings = config::load(&folder.join("portcullis.yaml"), &Default::default()).settings;
        let settings = settings.map_err(|problems| anyhow!("{problems:?}"))?;
        let settings = settings.authenticator.map_err(|missing| anyhow!("{missing}"))?;
        let tokens = fs::read_to_string(folder.join("tokens"))?;
        let heads = tokens.lines().map(head).collect::<anyhow::Result<_>>()?;
        Ok(Self { authenticator: Authenticator::new(settings)?, heads })
    }

    /// Authenticates so many requests, and returns how long each took.
    fn ask(&self, way: Way, count: usize) -> anyhow::Result<Duration> {
        let now = SystemTime::now().into();
        let (kept, first) = (connection(), self.heads.first().context("a token")?);
        if way != Way::New {
            self.authenticator.authenticate(first, &kept, now)?;
        }
        ensure!(way != Way::New || count <= self.heads.len(), "there are not so many tokens");
        let heads = self.heads.iter().cycle().take(count);
        let begun = Instant::now();
        for head in heads {
            let known = match way {
                Way::New => self.authenticator.authenticate(head, &connection(), now)?,
                Way::Seen => self.authenticator.authenticate(first, &connection(), now)?,
                Way::Repeated => self.authenticator.authenticate(first, &kept, now)?,
            };
            ensure!(known.principal.current_actor().is_some(), "user and agent");
        }
        Ok(begun.elapsed() / u32::try_from(count)?)
    }
}

/// A connection without a certificate, on which nothing has come.
fn connection() -> SeenCredential {
    SeenCredential::of_peer([], None, &Default::default())
}

fn head(token: &str) -> anyhow::Result<CanonicalRequest> {
    let text = request("d10000", token);
    let mut lines = text.split("\r\n");
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).context("a target")?;
    let mut head = http::Request::get(target);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        head = head.header(name, value);
    }
    let (parts, ()) = head.body(())?.into_parts();
    CanonicalRequest::parse(parts, Scheme::Http).map_err(|problem| anyhow!("{problem}"))
}

/// Authenticates `COUNT` requests of the world in a folder, and ends.
pub(crate) fn own(folder: &str, way: &str, count: &str) -> anyhow::Result<()> {
    let Some(way) = Way::ALL.into_iter().find(|one| one.name() == way) else { bail!("`new`, `seen` or `repeated`") };
    Asked::of(Path::new(folder))?.ask(way, count.parse()?)?;
    Ok(())
}

/// What one authentication costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    time: Duration,
    /// If they can be counted.
    instructions: Option<f64>,
}

/// Measures it alone and within requests, and saves the tables.
pub(crate) fn run() -> anyhow::Result<()> {
    let binary = portcullis()?;
    let mut report = Report::new("identity", "What it costs to know who is asking", "identity");
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let world = World::new(upstream, 1)?;
    let tokens: anyhow::Result<Vec<String>> =
        (0..TOKENS).map(|index| world.token_called(&format!("t{index:07}"))).collect();
    fs::write(world.path("tokens"), tokens?.join("\n"))?;
    let by_key = world.requests_by_key()?;
    let by_token = world.requests()?;
    let costs = Way::ALL.map(|way| cost(&world, way));
    let [new, seen, repeated] = costs;
    let costs = [new?, seen?, repeated?];
    alone(&mut report, &costs);

    let gate = world.line(&binary)?.on_core(PROXY_CORE).serve()?;
    let mut rounds: [Vec<(f64, f64)>; 2] = Default::default();
    let files = [&by_token, &by_key];
    for number in 0..ROUNDS {
        for step in 0..files.len() {
            // Each round begins with the other one.
            let index = (number + step) % files.len();
            let (Some(file), Some(rounds)) = (files.get(index), rounds.get_mut(index)) else { continue };
            rounds.push(measure(&gate, || load_serving(upstream, gate.address, file, CONNECTIONS, EXTENT))?);
            world.clear_audit()?;
        }
    }
    gate.stop()?;
    let counted = if callgrind::is_there() {
        // The emulated one has an upstream that serves by itself.
        let upstream = Line::own(&["serve-upstream"])?.serve()?;
        let config = fs::read_to_string(world.path("portcullis.yaml"))?;
        let (before, after) =
            (format!("\"http://{}\"", self::address(&config)?), format!("\"http://{}\"", upstream.address));
        fs::write(world.path("portcullis.yaml"), config.replace(&before, &after))?;
        let count = |file: &Path| callgrind::instructions(&world, file, || world.line(&binary));
        Some([count(&by_token)?, count(&by_key)?])
    } else {
        None
    };
    let [_, _, repeated] = costs;
    within(&mut report, &rounds, counted, repeated);
    report.save()
}

/// The address of the upstream.
fn address(config: &str) -> anyhow::Result<&str> {
    let (_, rest) = config.split_once("main: { url: \"http://").context("an upstream")?;
    rest.split('"').next().context("an address")
}

fn cost(world: &World, way: Way) -> anyhow::Result<Cost> {
    let folder = world.path("");
    let count = match way {
        Way::New => TOKENS,
        Way::Seen | Way::Repeated => 10_000,
    };
    let times: anyhow::Result<Vec<f64>> =
        (0..ROUNDS).map(|_| Ok(Asked::of(&folder)?.ask(way, count)?.as_secs_f64())).collect();
    let instructions = if callgrind::is_there() {
        let folder = folder.to_str().context("the path of a folder is text")?;
        let counted = |count: u32| {
            callgrind::of_program(world, Line::own(&["identity-own", folder, way.name(), &count.to_string()])?)
        };
        let [few, many] = way.counts();
        Some((counted(many)? - counted(few)?) / f64::from(many - few))
    } else {
        None
    };
    Ok(Cost { time: Duration::from_secs_f64(median(times?)), instructions })
}

/// The requests a second and the processor time of each, in microseconds.
fn measure(server: &Server, load: impl FnOnce() -> anyhow::Result<Outcome>) -> anyhow::Result<(f64, f64)> {
    let before = server.processor_time()?;
    let outcome = load()?;
    let answers = f64::from(u32::try_from(outcome.answers)?);
    // The warm-up's share of the time is its share of the requests, near enough.
    let share = MEASURED.as_secs_f64() / (WARM_UP + MEASURED).as_secs_f64();
    let spent = (server.processor_time()? - before).as_secs_f64() * share;
    Ok((answers / outcome.seconds, spent / answers * 1e6))
}

fn whole(figure: Option<f64>) -> String {
    figure.map_or_else(|| "?".to_owned(), |figure| format!("{figure:.0}"))
}

fn alone(report: &mut Report, costs: &[Cost; 3]) {
    let [new, ..] = costs;
    let rows: Vec<Vec<String>> = Way::ALL
        .iter()
        .zip(costs)
        .map(|(way, cost)| {
            let ratio = new.time.as_secs_f64() / cost.time.as_secs_f64();
            let micros = cost.time.as_secs_f64() * 1e6;
            vec![way.caption().to_owned(), format!("{micros:.2}"), format!("{ratio:.0}"), whole(cost.instructions)]
        })
        .collect();
    report.line(&format!(
        "From the head of a request to its principal, by the library's own `Authenticator` in this process: an access token \
         of 600 bytes with user and agent, signed by ES256. Medians of {ROUNDS} rounds; instructions by callgrind, as the \
         difference of two counts. A token that was seen is found by its digest; on the connection that brought it, by its \
         text. All that may end is looked at each time: its times, revocations.\n"
    ));
    report.table(&["", "µs", "times faster than new", "instructions"], &rows);
}

fn within(report: &mut Report, rounds: &[Vec<(f64, f64)>; 2], counted: Option<[f64; 2]>, cost: Cost) {
    let [token, key] = rounds;
    let middle = |of: &[(f64, f64)], figure: fn(&(f64, f64)) -> f64| median(of.iter().map(figure).collect());
    let ratio = median(token.iter().zip(key).map(|((one, _), (other, _))| one / other).collect());
    let row = |name: &str, of: &[(f64, f64)], ratio: String, count: Option<f64>| {
        let (rate, processor) = (middle(of, |(rate, _)| *rate), middle(of, |(_, processor)| *processor));
        vec![name.to_owned(), format!("{rate:.0}"), ratio, format!("{processor:.1}"), whole(count)]
    };
    let [by_token, by_key] = counted.map_or([None, None], |counts| counts.map(Some));
    report.line(&format!(
        "Requests over sockets: {ROUNDS} rounds, interleaved, and ratios within a round; {CONNECTIONS} connections in a \
         closed loop, the proxy with all its threads on one core. Everything is on, as in `proxy`. Nothing can switch \
         authentication off: the cheapest credential there is is an API key, here for the same user and agent, so that all \
         else is the same, but for requests that are shorter by the token.\n"
    ));
    let rows = [
        row("a signed token, seen before", token, format!("{ratio:.2}"), by_token),
        row("an API key", key, "1.00".to_owned(), by_key),
    ];
    report.table(&["", "requests/s", "against API key", "processor µs/request", "instructions/request"], &rows);
    report.line(&format!(
        "With a token against with an API key, by rate: {ratio:.2} (bar {BAR}, {}).\n",
        bar(ratio, BAR)
    ));
    let processor = middle(token, |(_, processor)| *processor);
    let by_time = 1.0 - cost.time.as_secs_f64() * 1e6 / processor;
    report.line(&format!(
        "Authentication is {:.2} of {processor:.1} µs of a request with a token on its connection. Without it a request would \
         cost the rest: authenticated requests reach {by_time:.3} of the rate of unauthenticated ones, by processor time \
         (bar {BAR}, {}).\n",
        cost.time.as_secs_f64() * 1e6,
        bar(by_time, BAR)
    ));
    if let Some((part, all)) = cost.instructions.zip(by_token) {
        let by_count = 1.0 - part / all;
        report.line(&format!(
            "The same by instructions in user mode, {part:.0} of {all:.0}: {by_count:.3} (bar {BAR}, {}). The kernel's part, \
             which is the same for both, is not counted.\n",
            bar(by_count, BAR)
        ));
    }
}
