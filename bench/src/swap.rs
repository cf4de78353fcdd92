//! From a change of 100,000 tuples on disk to the first answer that is decided by it, under load.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

use super::{
    latency::Latencies,
    load::{content_length, find},
    process::{Line, portcullis},
    report::Report,
    world::{SWITCHED, World, request, tuples},
};

const SWAPS: u64 = 50;
const CONNECTIONS: u32 = 8;
const RATE: u32 = 500;
/// Between the answer by one change and the next change.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(20);

/// What the load has seen.
struct Seen {
    done: AtomicBool,
    answers: AtomicU64,
    failed: AtomicU64,
    /// When each revision was first seen in an answer.
    revisions: Mutex<BTreeMap<u64, Instant>>,
    latencies: Mutex<Latencies>,
    problem: Mutex<Option<String>>,
}

/// Swaps, and saves the table; anything but the expected answer is an error.
pub(crate) fn run() -> anyhow::Result<()> {
    let binary = portcullis()?;
    let mut report = Report::new("swap", "From a change of 100,000 tuples to the first decision by it", "swap");
    let upstream = Line::own(&["serve-upstream"])?.serve()?;
    let world = World::new(upstream.address, 2)?;
    let gate = world.line(&binary)?.serve()?;
    let seen = Arc::new(Seen {
        done: AtomicBool::new(false),
        answers: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        revisions: Mutex::default(),
        latencies: Mutex::new(Latencies::new()),
        problem: Mutex::default(),
    });
    let token = world.token()?;
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let (seen, token, address) = (Arc::clone(&seen), token.clone(), gate.address);
            thread::spawn(move || client(number, address, &token, &seen))
        })
        .collect();
    let swapped = swap(&world, &seen);
    seen.done.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().map_err(|_| anyhow::anyhow!("a client has died"))?;
    }
    let swaps = swapped?;
    describe(&mut report, &swaps, &seen);
    report.save()?;
    let problem = seen.problem.lock().unwrap_or_else(PoisonError::into_inner).take();
    let failed = seen.failed.load(Ordering::Relaxed);
    ensure!(failed == 0, "{failed} requests failed, the first: {}", problem.unwrap_or_default());
    Ok(())
}

/// Changes the file time and again, and returns how long each change took.
fn swap(world: &World, seen: &Seen) -> anyhow::Result<Latencies> {
    let versions = [tuples(false), tuples(true)];
    let (file, beside) = (world.path("tuples.jsonl"), world.path("tuples.jsonl.new"));
    let mut swaps = Latencies::new();
    let mut turns = versions.iter().cycle();
    // The start is revision 1, and each change is one more.
    await_revision(seen, 1)?;
    for revision in 2..SWAPS + 2 {
        thread::sleep(PAUSE);
        fs::write(&beside, turns.next().context("a version")?)?;
        let begun = Instant::now();
        fs::rename(&beside, &file)?;
        swaps.record(await_revision(seen, revision)?.saturating_duration_since(begun));
    }
    Ok(swaps)
}

fn await_revision(seen: &Seen, revision: u64) -> anyhow::Result<Instant> {
    let deadline = Instant::now() + LONGEST;
    while Instant::now() < deadline {
        let revisions = seen.revisions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = revisions.get(&revision) {
            return Ok(*at);
        }
        drop(revisions);
        thread::sleep(Duration::from_millis(1));
    }
    let problem = seen.problem.lock().unwrap_or_else(PoisonError::into_inner);
    bail!("no answer by revision {revision} in {LONGEST:?}; {}", problem.as_deref().unwrap_or("no request failed"))
}

/// Asks in turn for a document that is always permitted and for the switched one, until it is done.
fn client(number: u32, address: SocketAddr, token: &str, seen: &Seen) {
    let requests = [(false, request("d10000", token)), (true, request(SWITCHED, token))];
    let mut turns = requests.iter().cycle();
    let pause = Duration::from_secs(1) * CONNECTIONS / RATE;
    let mut due = Instant::now() + pause * number / CONNECTIONS;
    let mut stream = None;
    while !seen.done.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let Some((is_switched, request)) = turns.next() else { return };
        let answered = ask(&mut stream, address, request).and_then(|answer| seen.take(*is_switched, &answer));
        if let Err(problem) = answered {
            stream = None;
            seen.failed.fetch_add(1, Ordering::Relaxed);
            let mut first = seen.problem.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(format!("{problem:#}"));
        }
        // From when it was due, so that what waits behind a slow answer counts too.
        seen.latencies.lock().unwrap_or_else(PoisonError::into_inner).record(due.elapsed());
        seen.answers.fetch_add(1, Ordering::Relaxed);
        due += pause;
    }
}

impl Seen {
    /// Notes the revision; refuses an answer that its own revision does not permit.
    fn take(&self, is_switched: bool, head: &str) -> anyhow::Result<()> {
        let status = head.split(' ').nth(1).unwrap_or_default();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let revision: u64 = field("portcullis-revision: ").context("no revision")?.trim().parse()?;
        // The odd revisions permit the switched document.
        let expected = if is_switched && revision.is_multiple_of(2) { "403" } else { "200" };
        ensure!(status == expected, "{status} instead of {expected} by revision {revision}");
        let mut revisions = self.revisions.lock().unwrap_or_else(PoisonError::into_inner);
        revisions.entry(revision).or_insert_with(Instant::now);
        Ok(())
    }
}

/// Sends a request and returns the head of its answer, whose body is read and dropped.
fn ask(stream: &mut Option<TcpStream>, address: SocketAddr, request: &str) -> anyhow::Result<String> {
    let stream = match stream {
        Some(stream) => stream,
        None => {
            let new = TcpStream::connect(address)?;
            new.set_nodelay(true)?;
            new.set_read_timeout(Some(LONGEST))?;
            stream.insert(new)
        }
    };
    stream.write_all(request.as_bytes())?;
    let (mut bytes, mut room) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut room)?;
        ensure!(read > 0, "the connection was closed");
        bytes.extend_from_slice(room.get(..read).unwrap_or_default());
        let Some(end) = find(&bytes, b"\r\n\r\n") else { continue };
        let head = bytes.get(..end).unwrap_or_default();
        if bytes.len() >= end + 4 + content_length(head).context("no Content-Length")? {
            return Ok(String::from_utf8_lossy(head).into_owned());
        }
    }
}

fn describe(report: &mut Report, swaps: &Latencies, seen: &Seen) {
    let latencies = seen.latencies.lock().unwrap_or_else(PoisonError::into_inner);
    let milliseconds = |duration: Duration| format!("{:.1}", duration.as_secs_f64() * 1e3);
    let row = |name: &str, figures: &Latencies| {
        let mut row = vec![name.to_owned(), figures.count().to_string()];
        row.extend([500, 990, 1000].map(|thousandths| milliseconds(figures.quantile(thousandths))));
        row
    };
    report.line(&format!(
        "{SWAPS} changes of a file of 100,000 tuples (JSON lines) by renaming, under {RATE} requests a second on \
         {CONNECTIONS} connections. A change is over with the first answer whose `portcullis-revision` is the new one. \
         Every answer must be what its own revision decides: 200, and 403 for the document that every second revision \
         forbids. Portcullis lets files rest for 50 ms before it reads them.\n"
    ));
    report
        .table(&["", "count", "p50 ms", "p99 ms", "greatest ms"], &[row("change", swaps), row("request", &latencies)]);
    let failed = seen.failed.load(Ordering::Relaxed);
    report.line(&format!("Failed requests: {failed} of {}.\n", seen.answers.load(Ordering::Relaxed)));
}
