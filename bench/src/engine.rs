//! How fast one core decides, how much a tuple takes, and how soon a change is there.

use std::time::{Duration, Instant};

use portcullis::policy::{Policy, TupleChange, TupleText};

use super::{
    build,
    latency::Latencies,
    plot::Plot,
    report::Report,
    scale::{self, Company, Kind, Speed},
};

/// The size that everything is measured at.
const LARGE: u64 = 10_000_000;
/// The size of files in formats that are read as a whole.
const MIDDLE: u64 = 1_000_000;
/// How many changes are made, one after the other.
const CHANGES: u32 = 4_000;
/// Blocks of 2,000 questions.
const BLOCKS: u64 = 250;

/// What must be reached: checks a second, and the 50th, 99th and 99.9th percentile.
struct Bar {
    a_second: f64,
    p99: Duration,
    p999: Duration,
}

const DIRECT: Bar = Bar { a_second: 3e6, p99: Duration::from_micros(1), p999: Duration::MAX };
const NESTED: Bar = Bar { a_second: 1e6, p99: Duration::from_micros(5), p999: Duration::from_micros(20) };
const BUILD_RATE: f64 = 1e6;
const MOST_BYTES: f64 = 40.0;
const MOST_PEAK: f64 = 2.5;
const CHANGE_P99: Duration = Duration::from_millis(2);

/// Measures the policy engine, and saves the tables and the diagrams.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut report = Report::new("engine", "The policy engine on one core", "engine");
    let clock = scale::clock_cost();
    report.line(&format!(
        "Companies of documents with two owners in trees of {} folders, whose roots two chains of {} groups may view. \
         Every question is about a random document; half are about somebody who may. The same 20,000 questions are asked in \
         {} rounds, of which the best counts; or each question is a new one, which few of the processor's caches hold, and \
         the middle one of {BLOCKS} blocks of 2,000 counts. A latency holds one \
         reading of the clock, {} here; a read of memory that no cache holds takes {}.\n",
        scale::LEVELS,
        scale::GROUPS,
        scale::ROUNDS,
        shown(clock),
        shown(scale::memory_latency())
    ));
    files(&mut report)?;
    let company = Company::of_size(LARGE);
    let policy = company.policy();
    let direct = scale::measure(&policy, company, Kind::Direct, BLOCKS);
    let nested = scale::measure(&policy, company, Kind::Nested, BLOCKS);
    report.line(&format!("## Checks among {} tuples\n", policy.statistics().tuples));
    let head = ["", "allowed %", "M checks/s", "p50", "p99", "p99.9", "bars", ""];
    let again = |kind| scale::measure_repeated(&policy, company, kind);
    let rows = [
        row("direct grant", &again(Kind::Direct), &DIRECT),
        row("nested groups and folders", &again(Kind::Nested), &NESTED),
        row("direct grant, always another", &direct, &DIRECT),
        row("nested groups and folders, always others", &nested, &NESTED),
    ];
    report.table(&head, &rows);
    changes(&mut report, policy, company);
    sizes(&mut report, (&direct, &nested))?;
    depths(&mut report)?;
    report.save()
}

fn row(name: &str, speed: &Speed, bar: &Bar) -> Vec<String> {
    let p99 = speed.latencies.quantile(990);
    let p999 = speed.latencies.quantile(999);
    let is_met = speed.a_second >= bar.a_second && p99 <= bar.p99 && p999 <= bar.p999;
    let most = if bar.p999 == Duration::MAX { String::new() } else { format!(", p99.9 ≤ {}", shown(bar.p999)) };
    vec![
        name.to_owned(),
        format!("{:.0}", speed.allowed * 100.0),
        format!("{:.2}", speed.a_second / 1e6),
        shown(speed.latencies.quantile(500)),
        shown(p99),
        shown(p999),
        format!("≥ {:.0} M/s, p99 ≤ {}{most}", bar.a_second / 1e6, shown(bar.p99)),
        met(is_met),
    ]
}

fn files(report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut rows = Vec::new();
    for (name, size) in [("tuples.jsonl", LARGE), ("tuples.json", MIDDLE), ("tuples.yaml", MIDDLE)] {
        let path = folder.path().join(name);
        build::write(Company::of_size(size), &path)?;
        let built = build::measure(&path)?;
        let (rate, bytes, peak) = (built.tuples / built.seconds, built.bytes / built.tuples, built.peak / built.bytes);
        rows.push(vec![
            name.to_owned(),
            format!("{:.0}", built.tuples),
            format!("{:.0}", built.objects),
            format!("{:.2}", rate / 1e6),
            format!("{:.2}", built.tuples / built.waited / 1e6),
            format!("{bytes:.1}"),
            format!("{peak:.2}"),
            met(rate >= BUILD_RATE && bytes <= MOST_BYTES && peak <= MOST_PEAK),
        ]);
        std::fs::remove_file(&path)?;
    }
    report.line("## From a file to a graph\n");
    report
        .line("Bars: 1 M tuples/s with reading, 40 bytes a tuple in both directions, a peak of 2.5 times the graph.\n");
    report.table(
        &[
            "file",
            "tuples",
            "objects",
            "M tuples/s of work",
            "M tuples/s on the wall",
            "bytes a tuple",
            "peak / graph",
            "",
        ],
        &rows,
    );
    Ok(())
}

fn changes(report: &mut Report, mut policy: Policy, company: Company) {
    let mut latencies = [Latencies::new(), Latencies::new()];
    let mut took_effect = [0, 0];
    for n in 0..CHANGES {
        let (user, object) = (format!("user:u{}", n / 2 * 14), format!("document:d{}", n / 2 * 1_000));
        let tuple = TupleText { user: &user, relation: "viewer", object: &object };
        // Every second change takes back the grant before it, except that every eighth grant stays.
        let is_grant = n % 2 == 0;
        if !is_grant && n % 16 == 1 {
            continue;
        }
        let change = if is_grant { TupleChange::Write(tuple, None) } else { TupleChange::Delete(tuple) };
        let started = Instant::now();
        let changed = policy.with_changes([change]);
        let took = started.elapsed();
        let [grants, revocations] = &mut latencies;
        if is_grant {
            grants.record(took)
        } else {
            revocations.record(took)
        }
        if let Ok((changed, counts)) = changed {
            policy = changed;
            let [written, deleted] = &mut took_effect;
            *written += counts.written;
            *deleted += counts.deleted;
        }
    }
    let direct = scale::measure(&policy, company, Kind::Direct, BLOCKS / 5);
    let nested = scale::measure(&policy, company, Kind::Nested, BLOCKS / 5);
    let started = Instant::now();
    let compacted = policy.compacted();
    let compaction = started.elapsed();
    drop(compacted);
    report.line("## A change, until it is in a new policy beside the one before\n");
    let named = ["grant", "revocation"].into_iter().zip(&latencies).zip(took_effect);
    let rows = named.map(|((name, latencies), took_effect)| {
        let p99 = latencies.quantile(990);
        vec![
            name.to_owned(),
            latencies.count().to_string(),
            took_effect.to_string(),
            shown(latencies.quantile(500)),
            shown(p99),
            shown(latencies.quantile(1000)),
            format!("p99 ≤ {}", shown(CHANGE_P99)),
            met(p99 <= CHANGE_P99),
        ]
    });
    let head = ["", "changes", "took effect", "p50", "p99", "longest", "bar", ""];
    report.table(&head, &rows.collect::<Vec<_>>());
    report.line(&format!(
        "After them {:.2} M direct and {:.2} M nested checks a second; compaction beside the data path took {}.\n",
        direct.a_second / 1e6,
        nested.a_second / 1e6,
        shown(compaction)
    ));
}

fn sizes(report: &mut Report, large: (&Speed, &Speed)) -> anyhow::Result<()> {
    let mut lines = ["direct p50", "direct p99", "nested p50", "nested p99"].map(|name| (name.to_owned(), Vec::new()));
    let mut rows = Vec::new();
    let mut note = |size: u64, direct: &Speed, nested: &Speed| {
        let quantiles = [direct, nested].map(|speed| [500, 990].map(|q| speed.latencies.quantile(q)));
        let size = f64::from(u32::try_from(size).unwrap_or(u32::MAX));
        for (line, latency) in lines.iter_mut().zip(quantiles.as_flattened()) {
            line.1.push((size, micros(*latency)));
        }
        let latencies = quantiles.as_flattened().iter().map(|latency| shown(*latency));
        rows.push([size.to_string()].into_iter().chain(latencies).collect::<Vec<_>>());
    };
    for size in [1_000, 10_000, 100_000, 1_000_000] {
        let company = Company::of_size(size);
        let policy = company.policy();
        let speed = |kind| scale::measure(&policy, company, kind, BLOCKS / 5);
        note(size, &speed(Kind::Direct), &speed(Kind::Nested));
    }
    note(LARGE, large.0, large.1);
    report.line("## Latency by size\n\n![latency by size](latency-by-size.svg)\n");
    report.table(&["tuples", "direct p50", "direct p99", "nested p50", "nested p99"], &rows);
    let plot = Plot {
        title: "Latency of a check, by tuples in the graph",
        across: "tuples",
        is_logarithmic: true,
        lines: lines.into(),
    };
    plot.save("latency-by-size")
}

fn depths(report: &mut Report) -> anyhow::Result<()> {
    let mut lines = ["p50", "p99"].map(|name| (name.to_owned(), Vec::new()));
    let mut rows = Vec::new();
    for depth in [1, 2, 4, 6, 8, 12, 16, 20, 24] {
        let latencies = scale::at_depth(depth);
        let quantiles = [500, 990].map(|q| latencies.quantile(q));
        for (line, latency) in lines.iter_mut().zip(quantiles) {
            line.1.push((f64::from(u32::try_from(depth).unwrap_or(u32::MAX)), micros(latency)));
        }
        rows.push([depth.to_string()].into_iter().chain(quantiles.map(shown)).collect::<Vec<_>>());
    }
    report.line("## Latency by depth\n\n![latency by depth](latency-by-depth.svg)\n");
    report.line("The user is a member at the end of a chain of groups, among 100,000 tuples.\n");
    report.table(&["groups", "p50", "p99"], &rows);
    let plot = Plot {
        title: "Latency of a check, by groups between user and document",
        across: "nested groups",
        is_logarithmic: false,
        lines: lines.into(),
    };
    plot.save("latency-by-depth")
}

fn met(is_met: bool) -> String {
    if is_met { "met" } else { "missed" }.to_owned()
}

fn micros(latency: Duration) -> f64 {
    latency.as_secs_f64() * 1e6
}

fn shown(latency: Duration) -> String {
    match micros(latency) {
        few if few < 1.0 => format!("{:.0} ns", few * 1e3),
        some if some < 1e3 => format!("{some:.1} µs"),
        many if many < 1e6 => format!("{:.1} ms", many / 1e3),
        most => format!("{:.2} s", most / 1e6),
    }
}
