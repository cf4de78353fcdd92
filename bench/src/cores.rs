//! Two cores against one: how much more two workers get done.

use std::{
    net::{Ipv4Addr, TcpListener},
    thread,
};

use super::{
    plot::Bars,
    process::{LOAD_CORE, PROXY_CORE, Server, portcullis},
    proxy::{Round, measure, micros, rate},
    report::{Report, bar, median},
    world::{MILLION, World},
};

const ROUNDS: usize = 15;
/// What two cores are to get done, of what one does.
const BAR: f64 = 1.7;

/// Compares one worker on a core with two on two, interleaved, and saves the table.
pub(crate) fn run() -> anyhow::Result<()> {
    let binary = portcullis()?;
    let mut report = Report::new("cores", "Two cores against one", "cores");
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    // With a core of its own for the load there are three; else the second worker shares that of the load.
    let second = if cores > 2 { PROXY_CORE + 1 } else { LOAD_CORE };
    let (one_world, two_world) = (World::of(upstream, 1, MILLION)?, World::of(upstream, 2, MILLION)?);
    let one = one_world.line(&binary)?.on_core(PROXY_CORE).serve()?;
    let two = two_world.line(&binary)?.on_cores(&[PROXY_CORE, second]).serve()?;
    let mut rounds: [Vec<Round>; 2] = Default::default();
    for number in 0..ROUNDS {
        let mut both: [(&Server, &World, usize); 2] = [(&one, &one_world, 0), (&two, &two_world, 1)];
        if number % 2 == 1 {
            both.reverse();
        }
        for (server, world, index) in both {
            let round = measure(upstream, Some(server), &world.requests()?)?;
            if let Some(rounds) = rounds.get_mut(index) {
                rounds.push(round);
            }
            world.clear_audit()?;
        }
    }
    let [ones, twos] = &rounds;
    let by_rate = median(ones.iter().zip(twos).map(|(one, two)| rate(two) / rate(one)).collect());
    // What a core gets done in a second of its own time, whoever else is on it.
    let by_processor =
        median(ones.iter().zip(twos).map(|(one, two)| 2.0 * micros(one.processor) / micros(two.processor)).collect());
    report.line(&format!(
        "Medians of {ROUNDS} rounds, interleaved, measured as in `proxy.md`, with a graph of a million tuples: one worker on a \
         core, and two on two.\n"
    ));
    let row = |name: &str, rounds: &[Round]| {
        let middle = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
        vec![
            name.to_owned(),
            format!("{:.0}", middle(&rate)),
            format!("{:.1}", middle(&|round| micros(round.processor))),
        ]
    };
    report.table(&["", "requests/s", "processor µs/request"], &[row("one worker", ones), row("two workers", twos)]);
    let verdict = if cores > 2 {
        format!("Two against one by rate: {by_rate:.2} (bar {BAR}, {}).\n", bar(by_rate, BAR))
    } else {
        format!(
            "This machine has two cores, and the load, which never sleeps, takes about half of the second worker's: by rate \
             two are {by_rate:.2} of one, which says nothing of the proxy. What both get done in a second of their own \
             processor time, when they run at the same time, is {by_processor:.2} of what one does (bar {BAR}, {}). With more \
             cores than two, both workers have one of their own, and the rate counts.\n",
            bar(by_processor, BAR)
        )
    };
    report.line(&verdict);
    let bars = vec![
        ("portcullis, one worker".to_owned(), median(ones.iter().map(rate).collect())),
        ("portcullis, two workers".to_owned(), median(twos.iter().map(rate).collect())),
    ];
    Bars { title: "Requests a second by workers".to_owned(), unit: "", bars }.save("cores")?;
    report.line("![requests a second](cores.svg)\n");
    report.save()
}
