//! The processes of a measurement: each on its core, ended when it goes out of scope.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

/// Where the load and the upstream run.
pub(crate) const LOAD_CORE: u8 = 0;
/// Where the proxy runs, with all its threads.
pub(crate) const PROXY_CORE: u8 = 1;

/// How long a server may take to come up: it may run in an emulator.
const START: Duration = Duration::from_secs(120);

/// A command line that can be put on a core or under callgrind before it is started.
#[derive(Debug, Clone)]
pub(crate) struct Line(Vec<OsString>);

impl Line {
    pub(crate) fn new(program: &Path, arguments: &[&str]) -> Self {
        let mut words = vec![program.as_os_str().to_owned()];
        words.extend(arguments.iter().map(OsString::from));
        Self(words)
    }

    /// A part of this program.
    pub(crate) fn own(arguments: &[&str]) -> anyhow::Result<Self> {
        Ok(Self::new(&env::current_exe()?, arguments))
    }

    /// The same, on this core only.
    pub(crate) fn on_core(self, core: u8) -> Self {
        self.on_cores(&[core])
    }

    /// The same, on these cores only.
    pub(crate) fn on_cores(self, cores: &[u8]) -> Self {
        let cores = cores.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
        self.behind(["taskset".into(), "-c".into(), cores.into()])
    }

    /// The same in callgrind, which writes its counts to a file.
    pub(crate) fn in_callgrind(self, counts: &Path) -> Self {
        let mut file = OsString::from("--callgrind-out-file=");
        file.push(counts);
        self.behind(["valgrind".into(), "--tool=callgrind".into(), file])
    }

    fn behind<const N: usize>(self, words: [OsString; N]) -> Self {
        Self(words.into_iter().chain(self.0).collect())
    }

    fn command(&self) -> anyhow::Result<Command> {
        let (program, arguments) = self.0.split_first().context("no program")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        Ok(command)
    }

    /// Runs it to its end and returns what it printed.
    pub(crate) fn output(&self) -> anyhow::Result<String> {
        let output = self.command()?.output().context("cannot be started")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Starts a server that was told where to listen; nobody waits for it, nor for what it says.
    pub(crate) fn serve_at(&self, address: SocketAddr) -> anyhow::Result<Server> {
        let child = self.command()?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Server { child, address })
    }

    /// Starts a server, and waits until it has said where it can be reached.
    pub(crate) fn serve(&self) -> anyhow::Result<Server> {
        let mut child = self.command()?.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (told, news) = mpsc::channel();
        let outputs: [Option<Box<dyn Read + Send>>; 2] =
            [child.stdout.take().map(|out| Box::new(out) as _), child.stderr.take().map(|out| Box::new(out) as _)];
        for output in outputs.into_iter().flatten() {
            let told = told.clone();
            // It reads to the end, so that the server never waits for a reader.
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = told.send(line);
                }
            });
        }
        drop(told);
        let mut server = Server { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let deadline = Instant::now() + START;
        let mut said = String::new();
        while let Ok(line) = news.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let Some(address) = address(&line) {
                server.address = address;
                return Ok(server);
            }
            said.push_str(&line);
            said.push('\n');
        }
        bail!("a server did not come up:\n{said}")
    }
}

/// The address in `address=…` of a server's first line, or of the line for agents in the log of Portcullis.
fn address(line: &str) -> Option<SocketAddr> {
    let (before, address) = line.split_once("address=")?;
    let is_wanted = before.is_empty() || before.contains("agents can connect");
    address.split_whitespace().next().filter(|_| is_wanted)?.parse().ok()
}

/// What a process holds, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// With the pages of its code, which it shares with whoever runs the same.
    pub(crate) resident: u64,
    /// Of its own.
    pub(crate) anonymous: u64,
}

/// A server on loopback.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// The processor time of all its threads until now.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            nanoseconds += text.split_whitespace().next().context("no schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Resident memory, in MiB.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        Ok(self.memory()?.resident / 1024)
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such field")?;
            Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
        };
        Ok(Memory { resident: field("VmRSS:")?, anonymous: field("RssAnon:")? })
    }

    /// Asks it to stop, and waits for its end.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        let deadline = Instant::now() + START;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "a server does not stop");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary of the product that was built together with this program.
pub(crate) fn portcullis_beside() -> anyhow::Result<PathBuf> {
    let beside = env::current_exe()?.with_file_name("portcullis");
    ensure!(beside.exists(), "{} is not there: build both packages", beside.display());
    Ok(beside)
}

/// What names the folder of a release that was built by [`super::train`]; `bench/release.sh` prints it.
const RELEASE: &str = "RELEASE";

/// A binary of the release that is named in the environment, if there is one.
pub(crate) fn released(name: &str) -> Option<PathBuf> {
    env::var_os(RELEASE).map(|folder| Path::new(&folder).join(name))
}

/// The binary of the product that is measured: of the release that is named in the environment, or else the one that was
/// built together with this program.
pub(crate) fn portcullis() -> anyhow::Result<PathBuf> {
    match released("portcullis") {
        Some(binary) => Ok(binary),
        None => portcullis_beside(),
    }
}
