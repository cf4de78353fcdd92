//! The company, open until somebody closes it: lines to paste, and a policy to edit.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
};

use crate::{access::ActorMode, app::Signals, cli::run::until_told_to_stop};

use super::{stage::Stage, who::Who};

/// One line to paste.
struct Example {
    caption: &'static str,
    who: Who,
    arguments: &'static str,
    target: &'static str,
}

const ERIN: Who = Who::user("erin").via(&["sales-assistant"]);

const EXAMPLES: &[Example] = &[
    Example {
        caption: "erin, via sales-assistant: an account in EMEA -> 200",
        who: ERIN,
        arguments: "",
        target: "/crm/v1/accounts/A-100",
    },
    Example {
        caption: "erin, via sales-assistant: an account in AMER -> 403, erin may and the agent may not",
        who: ERIN,
        arguments: "",
        target: "/crm/v1/accounts/A-200",
    },
    Example {
        caption: "frank, via sales-assistant: an account in EMEA -> 403, the agent may and frank may not",
        who: Who::user("frank").via(&["sales-assistant"]),
        arguments: "",
        target: "/crm/v1/accounts/A-100",
    },
    Example {
        caption: "erin, via sales-assistant: all accounts -> 200 with A-100 and A-101, without the rest and its total",
        who: ERIN,
        arguments: "",
        target: "/crm/v1/accounts",
    },
    Example {
        caption: "mia, via code-review: deploy to production -> 403; with \"staging\" in its place -> 201",
        who: Who::user("mia").via(&["code-review"]),
        arguments: " -H 'Content-Type: application/json' -d '{\"environment\":\"production\"}'",
        target: "/repos/acme/api/deployments",
    },
    Example {
        caption: "dev, via cluster-debug: a secret -> 404, the agent may, and dev is not even told that it is there",
        who: Who::user("dev").via(&["cluster-debug"]),
        arguments: "",
        target: "/api/v1/namespaces/prod/secrets/payments",
    },
];

/// Serves until told to stop.
pub(super) fn serve(listen: SocketAddr) -> anyhow::Result<ExitCode> {
    // Before there is a directory that would be left behind.
    let mut signals = Signals::catch()?;
    let stage = Stage::open(listen, ActorMode::All)?;
    writeln!(io::stdout(), "{}", invitation(&stage)?)?;
    until_told_to_stop(&stage.proxy, &mut signals)?;
    let directory = stage.workplace.directory().to_owned();
    let (workplace, seen) = stage.close()?;
    drop(workplace);
    let (seen, directory) = (seen.len(), directory.display());
    writeln!(io::stdout(), "Stopped in order: the services saw {seen} requests, and {directory} is removed.")?;
    Ok(ExitCode::SUCCESS)
}

/// What there is to see and to try.
fn invitation(stage: &Stage) -> anyhow::Result<String> {
    let base = format!("http://{}", reachable(stage.address()?));
    let upstream = stage.upstream.address();
    let (configuration, tuples) = (stage.workplace.configuration(), stage.workplace.tuples());
    let (configuration, tuples) = (configuration.display(), tuples.display());
    let (audit, directory) = (stage.workplace.audit(), stage.workplace.directory().display());
    let audit = audit.display();
    let metrics =
        stage.proxy.telemetry_address().map_or_else(String::new, |address| format!("http://{address}/metrics"));
    let examples = examples(stage, &base)?;
    Ok(format!(
        "\
Acme is open, and Portcullis is in front of it.

  agents connect to  {base}
  metrics            {metrics}
  the services       http://{upstream} (only the proxy should call them)
  configuration      {configuration}
  who may do what    {tuples}
  decisions          {audit}

Paste these. The answers name their decision and revision; denials say why, and what would help.

{examples}# revoke sales-assistant, then paste the first line again -> 403, by a later revision
sed -i.bak '/agent:sales-assistant, relation: reader/d' {tuples}

# grant it again -> 200
mv {tuples}.bak {tuples}

# what was decided
tail -n 3 {audit}

Ctrl-C ends it and removes {directory}."
    ))
}

fn examples(stage: &Stage, base: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    for Example { caption, who, arguments, target } in EXAMPLES {
        let token = stage.issuer.token(who)?.unwrap_or_default();
        text += &format!("# {caption}\ncurl -si -H 'Authorization: Bearer {token}'{arguments} '{base}{target}'\n\n");
    }
    Ok(text)
}

/// An address that can be connected to, for one that listens everywhere.
fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(host, address.port())
}
