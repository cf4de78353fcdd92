//! The company, open until somebody closes it: lines to paste, and a policy to edit.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    sync::mpsc,
    thread,
};

use crate::{app::until_told_to_stop, cli::run::until_told};

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
        arguments: " --json '{\"environment\":\"production\"}'",
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
    let (told, news) = mpsc::channel();
    thread::Builder::new().name("signals".to_owned()).spawn(move || told.send(until_told_to_stop()))?;
    let stage = Stage::open(listen)?;
    print_invitation(&stage)?;
    until_told(&stage.proxy, &news)?;
    let directory = stage.workplace.directory().to_owned();
    let (workplace, seen) = stage.close()?;
    drop(workplace);
    println!("Stopped in order. The upstream saw {} requests; {} is removed.", seen.len(), directory.display());
    Ok(ExitCode::SUCCESS)
}

fn print_invitation(stage: &Stage) -> anyhow::Result<()> {
    let base = format!("http://{}", reachable(stage.address()?));
    let workplace = &stage.workplace;
    println!("Acme is open, and Portcullis is in front of it.\n");
    println!("  agents connect to  {base}");
    if let Some(telemetry) = stage.proxy.telemetry_address() {
        println!("  metrics            http://{telemetry}/metrics");
    }
    println!(
        "  the company's API  http://{} (the proxy is the only one that should call it)",
        stage.upstream.address()
    );
    println!("  configuration      {}", workplace.configuration().display());
    println!("  who may do what    {}", workplace.tuples().display());
    println!("  decisions          {}\n", workplace.audit().display());
    println!("Paste these. The answers name their decision and revision; denials say why, and what would help.\n");
    for example in EXAMPLES {
        let token = stage.issuer.token(&example.who)?.unwrap_or_default();
        let (caption, arguments, target) = (example.caption, example.arguments, example.target);
        println!("# {caption}\ncurl -si -H 'Authorization: Bearer {token}'{arguments} {base}{target}\n");
    }
    let tuples = workplace.tuples();
    println!("# revoke sales-assistant, then paste the first line again -> 403, by a later revision");
    println!("sed -i.bak '/agent:sales-assistant, relation: reader/d' {}\n", tuples.display());
    println!("# grant it again -> 200");
    println!("mv {0}.bak {0}\n", tuples.display());
    println!("# what was decided");
    println!("tail -n 3 {}\n", workplace.audit().display());
    println!("Ctrl-C ends it and removes {}.", workplace.directory().display());
    Ok(())
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
