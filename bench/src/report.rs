//! A table of figures in Markdown, with what one must know to take them again.

use std::{fmt::Write, fs, path::Path, process::Command, time::SystemTime};

use super::process::released;

/// One measurement.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    text: String,
}

impl Report {
    /// A report without figures: what was measured, on what, by which command.
    pub(crate) fn new(name: &'static str, title: &str, command: &str) -> Self {
        let rustc = Command::new("rustc").arg("--version").output();
        let rustc =
            rustc.map_or_else(|_| "rustc ?".to_owned(), |out| String::from_utf8_lossy(&out.stdout).into_owned());
        let mut report = Self { name, text: format!("# {title}\n\n") };
        report.line(&format!("- {}", humantime::format_rfc3339_seconds(SystemTime::now())));
        report.line(&format!("- {}", machine()));
        report.line(&format!("- {}", rustc.trim()));
        let way = match released("portcullis") {
            Some(_) => "RELEASE=$(bench/release.sh) cargo run --release -p portcullis-bench --",
            None => "cargo build --release -p portcullis -p portcullis-bench && target/release/portcullis-bench",
        };
        report.line(&format!("- `{way} {command}`"));
        if cfg!(debug_assertions) {
            report.line("- **a development build: these figures say nothing**");
        }
        report.line("");
        report
    }

    /// Adds a line of text.
    pub(crate) fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// Adds a table; all rows are as long as its head.
    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        // Writing into memory does not fail.
        let _ = writeln!(self.text, "| {} |", head.join(" | "));
        let rule: String = head.iter().enumerate().map(|(index, _)| if index == 0 { "---|" } else { "--:|" }).collect();
        let _ = writeln!(self.text, "|{rule}");
        for row in rows {
            let _ = writeln!(self.text, "| {} |", row.join(" | "));
        }
        self.line("");
    }

    /// Prints it and keeps it among the results.
    pub(crate) fn save(mut self) -> anyhow::Result<()> {
        let _ = writeln!(self.text, "Load average at the end: {}", load_average());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{}.md", self.name)), &self.text)?;
        println!("{}", self.text);
        Ok(())
    }
}

/// Whether a figure reaches its bar, in words for a table.
pub(crate) fn bar(figure: f64, bar: f64) -> &'static str {
    if figure >= bar { "met" } else { "missed" }
}

/// The middle one; zero if there is none.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

fn machine() -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        line.unwrap_or_default().trim_start_matches([' ', '\t', ':']).trim().to_owned()
    };
    let memory: u64 = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = field("/proc/cpuinfo", "model name");
    let family =
        format!("family {}, model {}", field("/proc/cpuinfo", "cpu family"), field("/proc/cpuinfo", "model\t"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = kernel.trim().split('-').next().unwrap_or_default();
    format!(
        "{cores} cores of {model} ({family}), {} GiB, Linux {release}, load average {}",
        memory >> 20,
        load_average()
    )
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
