//! Every scenario once, through real sockets, and whether all agree.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::bail;
use tokio::{runtime::Builder, time::sleep};

use crate::access::ActorMode;

use super::{
    agent::{Agent, Answer},
    evidence::Evidence,
    expected::Scenario,
    report::Report,
    scenarios::SCENARIOS,
    stage::Stage,
};

/// An edit that is not in force by then never will be.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at whether an edit is in force.
const PAUSE: Duration = Duration::from_millis(20);

/// Sends all scenarios and prints what came of them.
pub(super) fn once(as_json: bool, mode: ActorMode) -> anyhow::Result<ExitCode> {
    let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let stage = Stage::open(free_port, mode)?;
    let session = Builder::new_current_thread().enable_all().build()?.block_on(run(&stage, mode))?;
    let (workplace, seen) = stage.close()?;
    let evidence = Evidence::read(&workplace.audit(), seen)?;
    let report = Report::new(&session, &evidence);
    let text = if as_json { serde_json::to_string_pretty(&report.to_json())? } else { report.to_string() };
    writeln!(io::stdout(), "{text}")?;
    Ok(if report.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The scenarios' answers, in their order.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) answers: Vec<(Scenario, Answer)>,
    /// Requests that were sent, also those that waited for an edit.
    pub(super) requests: usize,
}

async fn run(stage: &Stage, mode: ActorMode) -> anyhow::Result<Session> {
    let agent = Agent::new(stage.address()?)?;
    let mut session = Session::default();
    for scenario in SCENARIOS.iter().copied().flatten().map(|scenario| scenario.by(mode)) {
        let token = stage.issuer.token(&scenario.who)?;
        let answer = match scenario.edit {
            None => agent.send(&scenario, token.as_deref()).await?,
            Some(edit) => {
                let before = session.answers.last().map_or(0, |(_, answer)| answer.revision());
                stage.workplace.edit(edit)?;
                let (answer, waited) = until_later(&agent, &scenario, token.as_deref(), before).await?;
                session.requests += waited;
                answer
            }
        };
        session.requests += 1;
        session.answers.push((scenario, answer));
    }
    Ok(session)
}

/// The first answer by a later revision, and how many there were before it. No answer may be a mix of two revisions.
async fn until_later(
    agent: &Agent,
    scenario: &Scenario,
    token: Option<&str>,
    before: u64,
) -> anyhow::Result<(Answer, usize)> {
    let begun = Instant::now();
    let mut waited = 0;
    let expected = scenario.expected.status();
    loop {
        let answer = agent.send(scenario, token).await?;
        if answer.revision() > before {
            return Ok((answer, waited));
        }
        if answer.status == expected {
            bail!("{}: revision {before} already answers as only a later one may", scenario.name);
        }
        if begun.elapsed() > PATIENCE {
            bail!("{}: no later revision than {before} within {PATIENCE:?}", scenario.name);
        }
        waited += 1;
        sleep(PAUSE).await;
    }
}
