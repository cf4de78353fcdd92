//! What the command line says.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::{
    access::{ContextualTuple, Entity, RelationName, TypeName},
    policy::ContextMap,
    telemetry::LogFormat,
};

const EXAMPLES: &str = "\
Examples:
  portcullis demo                                 a company, agents and a proxy
  portcullis validate --config portcullis.yaml    every problem in one report
  portcullis run --config portcullis.yaml         the proxy
  portcullis explain --config portcullis.yaml \\
      --as user:erin --via agent:sales-assistant can_read account:A-100
  portcullis test store.fga.yaml                  the answers of a policy

Exit codes: 0 allowed or fine, 1 denied or invalid, 2 usage.";

/// Decides, for every HTTP request of an AI agent, whether this agent, acting for this user, may do this to that.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about, after_help = EXAMPLES, max_term_width = 100)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve: decide each request and forward or deny it
    Run(Run),
    /// Check the configuration and every file that it names; print the routes as they are
    Validate(Validate),
    /// Ask whether a principal may do something; exit code 0 for yes, 1 for no
    Check(Ask),
    /// The same, with the reasons: the tuples and rewrites behind the answer
    Explain(Ask),
    /// List what a chain may do something with, or who may do something with it
    #[command(subcommand)]
    List(List),
    /// Run the tests of store files (`.fga.yaml`); exit code 0 if all pass, 1 if not
    Test(Test),
    /// Run a small company with agents, an upstream and the proxy, or its scenarios
    Demo(Demo),
    /// Serve OpenFGA's HTTP API from memory, for development and tests: the official SDKs work unchanged
    ServeOpenfga(ServeOpenFga),
    /// API keys
    #[command(subcommand)]
    Key(Key),
    /// Authorization models
    #[command(subcommand)]
    Model(Model),
    /// Print the JSON Schema of the configuration
    Schema,
    /// Print completions for a shell
    #[command(after_help = "Example:\n  portcullis completions bash > /etc/bash_completion.d/portcullis")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  portcullis run --config portcullis.yaml --log-format json

Files are watched: routes, keys, model and tuples are in force as soon as they are written and right. What is wrong is
refused and logged, and what was in force before stays. SIGTERM and SIGINT end it in order.")]
pub(super) struct Run {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    pub(super) config: PathBuf,
    #[command(flatten)]
    pub(super) log: Log,
}

#[derive(Debug, Args)]
pub(super) struct Log {
    /// How the log on standard error is written
    #[arg(long, value_enum, default_value_t, env = "PORTCULLIS_LOG_FORMAT")]
    pub(super) log_format: LogStyle,
    /// What the log holds, such as `info` or `portcullis=debug,warn`
    #[arg(long, default_value = "info", value_name = "FILTER", env = "PORTCULLIS_LOG")]
    pub(super) log: String,
}

/// Which actors of a chain must be permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Actors {
    /// Every one, as by default
    All,
    /// Only the one that sent the request
    Current,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum LogStyle {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

impl From<LogStyle> for LogFormat {
    fn from(style: LogStyle) -> Self {
        match style {
            LogStyle::Text => Self::Text,
            LogStyle::Json => Self::Json,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  portcullis validate --config portcullis.yaml")]
pub(super) struct Validate {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    pub(super) config: PathBuf,
    /// Print the problems or the routes as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis check --config portcullis.yaml \\
      --as user:erin can_read account:A-100
  portcullis explain --config portcullis.yaml \\
      --as user:erin --via agent:planner --via agent:coder \\
      can_read account:A-200
  portcullis explain --admin /run/portcullis/admin.sock \\
      --as user:erin can_read account:A-100
  portcullis check --model model.fga --tuples tuples.yaml \\
      --as user:erin can_read account:A-100 --json
  portcullis check --store store.fga.yaml \\
      --as user:cfo can_read report:2026-Q2 \\
      --context '{\"current_time\": \"2026-08-01T00:00:00Z\"}'")]
pub(super) struct Ask {
    #[command(flatten)]
    pub(super) source: PolicyOptions,
    #[command(flatten)]
    pub(super) chain: ChainOptions,
    #[command(flatten)]
    pub(super) given: GivenOptions,
    /// The action: a relation of the resource's type
    pub(super) action: RelationName,
    /// The resource, such as `account:A-100`
    pub(super) resource: Entity,
}

/// Where model and tuples are.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("policy").args(["config", "admin", "model", "store"]).required(true).multiple(true))]
pub(super) struct PolicyOptions {
    /// Take model and tuples from this configuration
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["model", "tuples", "store"])]
    pub(super) config: Option<PathBuf>,
    /// Ask the proxy that runs, by its admin socket (`admin.socket` of its configuration), and no files
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["config", "model", "tuples", "store", "task_holder"])]
    pub(super) admin: Option<PathBuf>,
    /// Take the model from this file
    #[arg(long, value_name = "FILE", requires = "tuples")]
    pub(super) model: Option<PathBuf>,
    /// Take tuples from this file; may be repeated
    #[arg(long, value_name = "FILE", requires = "model")]
    pub(super) tuples: Vec<PathBuf>,
    /// Take model and tuples from this store file (`.fga.yaml`), without the tuples of its tests
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "tuples"])]
    pub(super) store: Option<PathBuf>,
    /// With --model or --store: the relation of a task's type that says who works in it
    #[arg(long, value_name = "RELATION", conflicts_with = "config")]
    pub(super) task_holder: Option<RelationName>,
}

/// Who asks.
#[derive(Debug, Args)]
pub(super) struct ChainOptions {
    /// The subject on whose authority it would run, such as `user:erin`
    #[arg(long = "as", value_name = "SUBJECT")]
    pub(super) subject: Entity,
    /// An agent that acts for it; repeat it in the order of delegation, the current actor last
    #[arg(long = "via", value_name = "ACTOR")]
    pub(super) actors: Vec<Entity>,
    /// The task that it runs within, such as `task:t-42`
    #[arg(long, value_name = "TASK")]
    pub(super) task: Option<Entity>,
    /// Ask for the subject and the current actor only, not for prior actors
    #[arg(long)]
    pub(super) current_actor_only: bool,
}

/// What else a question has.
#[derive(Debug, Args)]
pub(super) struct GivenOptions {
    /// What conditions are told, as a JSON object; `current_time` is now unless it is given
    #[arg(long, value_name = "JSON", default_value = "{}", hide_default_value = true)]
    pub(super) context: ContextMap,
    /// A tuple that a credential would tell of, such as `user:erin member group:eng`; may be repeated
    #[arg(long = "contextual-tuple", value_name = "TUPLE")]
    pub(super) told: Vec<ContextualTuple>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum List {
    /// The objects of a type that every member of a chain may do something with
    #[command(after_help = "\
Examples:
  portcullis list objects --config portcullis.yaml \\
      --as user:erin --via agent:sales-assistant can_read account
  portcullis list objects --admin /run/portcullis/admin.sock \\
      --as user:erin can_read account
  portcullis list objects --store store.fga.yaml \\
      --as user:erin can_read account --json")]
    Objects(ListObjects),
    /// The users that may do something with an object
    #[command(after_help = "\
Examples:
  portcullis list users --config portcullis.yaml \\
      --type agent can_read account:A-100
  portcullis list users --store store.fga.yaml \\
      --type group --relation member can_read account:A-100

`user:*` stands for everybody of the type, but for those who are excluded.")]
    Users(ListUsers),
}

#[derive(Debug, Args)]
pub(super) struct ListObjects {
    #[command(flatten)]
    pub(super) source: PolicyOptions,
    #[command(flatten)]
    pub(super) chain: ChainOptions,
    #[command(flatten)]
    pub(super) given: GivenOptions,
    /// List so many at most
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    pub(super) limit: usize,
    /// The action: a relation of the type
    pub(super) action: RelationName,
    /// The type of the objects, such as `account`
    pub(super) object_type: TypeName,
}

#[derive(Debug, Args)]
pub(super) struct ListUsers {
    #[command(flatten)]
    pub(super) source: PolicyOptions,
    #[command(flatten)]
    pub(super) given: GivenOptions,
    /// The type of the users, such as `user` or `agent`
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) user_type: TypeName,
    /// List usersets of this relation, such as `member` of groups, and not single users
    #[arg(long, value_name = "RELATION")]
    pub(super) relation: Option<RelationName>,
    /// List so many at most
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    pub(super) limit: usize,
    /// The action: a relation of the object's type
    pub(super) action: RelationName,
    /// The object, such as `account:A-100`
    pub(super) object: Entity,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis test store.fga.yaml
  portcullis test policies/ --junit report.xml    every *.fga.yaml below it

A store file is OpenFGA's: a model, tuples, and tests with `check`, `list_objects` and `list_users`. Conditions are told
what the tests' contexts say, and not the time: a test has the same outcome every day.")]
pub(super) struct Test {
    /// Store files, and directories whose `*.fga.yaml` are taken, at any depth
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Write JUnit's XML to this file
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis demo           prints ready curl lines and serves until Ctrl-C
  portcullis demo --once    sends the scenarios, prints what came of them")]
pub(super) struct Demo {
    /// Send the scenarios through real sockets, print a table, and end
    #[arg(long)]
    pub(super) once: bool,
    /// With --once: print JSON
    #[arg(long, requires = "once")]
    pub(super) json: bool,
    /// With --once: which actors of a chain must be permitted
    #[arg(long, requires = "once", value_name = "MODE", default_value = "all")]
    pub(super) actors: Actors,
    /// Where the proxy listens; port 0 takes any free one, as --once does
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS", conflicts_with = "once")]
    pub(super) listen: std::net::SocketAddr,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis serve-openfga                           at http://127.0.0.1:8080
  portcullis serve-openfga --listen 127.0.0.1:0      at a free port
  portcullis serve-openfga --store store.fga.yaml    with a store of this
  portcullis serve-openfga --listen 0.0.0.0:8080 --token-file tokens

  curl -d '{\"name\":\"try-out\"}' http://127.0.0.1:8080/stores

Stores, models and tuples are kept in memory only. SIGTERM and SIGINT end it in order.")]
pub(super) struct ServeOpenFga {
    /// Where to listen; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(super) listen: std::net::SocketAddr,
    /// Begin with a store of this store file (`.fga.yaml`); may be repeated. The ids of store and model are printed
    #[arg(long, value_name = "FILE")]
    pub(super) store: Vec<PathBuf>,
    /// A token that requests may bear; may be repeated. Without any, only this machine is served
    #[arg(long, value_name = "TOKEN", env = "PORTCULLIS_OPENFGA_TOKEN", hide_env_values = true)]
    pub(super) token: Vec<String>,
    /// A file with tokens, one on each line; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) log: Log,
}

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make an API key: the key goes to standard output, once; its entry for the configuration to standard error
    #[command(after_help = "\
Example:
  portcullis key new --subject agent:nightly-report \\
      --owner finance@acme.example --valid-for 90d \\
      > nightly-report.key 2> nightly-report.entry

The entry belongs below `identity.api_keys.keys`. The key is sent in the header field x-api-key.")]
    New(NewKey),
}

#[derive(Debug, Args)]
pub(super) struct NewKey {
    /// Whom the key stands for
    #[arg(long, value_name = "SUBJECT")]
    pub(super) subject: Entity,
    /// An agent that acts for the subject with this key; the current one first
    #[arg(long = "via", value_name = "ACTOR")]
    pub(super) actors: Vec<Entity>,
    /// The task that the key is bound to
    #[arg(long, value_name = "TASK")]
    pub(super) task: Option<Entity>,
    /// Who answers for the key: a person or a team
    #[arg(long, value_name = "OWNER")]
    pub(super) owner: Option<String>,
    /// How long the key holds from now on, such as 90d; for ever if nothing is said
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) valid_for: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Model {
    /// Check a model and write it in OpenFGA's language or as JSON
    #[command(after_help = "\
Examples:
  portcullis model convert model.fga                    JSON for OpenFGA's API
  portcullis model convert model.json --output m.fga    back again
  portcullis model convert fga.mod                      modules as one model
  portcullis model convert fga.mod --to dsl             in OpenFGA's language

What only JSON can say, such as types in the middle of a rule, is reported and not written.")]
    Convert(Convert),
}

#[derive(Debug, Args)]
pub(super) struct Convert {
    /// The model: a `.fga` file, a `.json` file, or an `fga.mod` that lists modules
    pub(super) file: PathBuf,
    /// What to write; without it JSON becomes OpenFGA's language, and everything else JSON
    #[arg(long, value_enum)]
    pub(super) to: Option<Notation>,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Notation {
    /// OpenFGA's language
    Dsl,
    /// JSON
    Json,
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::*;

    fn narrow(command: &Command) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter(|line| line.starts_with(' ')) {
            assert!(line.chars().count() < 80, "an example that a terminal would break: {line}");
        }
        command.get_subcommands().for_each(narrow);
    }

    #[test]
    fn examples_can_be_pasted_as_they_are_shown() {
        narrow(&Arguments::command());
    }
}
