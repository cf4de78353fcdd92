//! The command `demo`: a small company, its agents, and the proxy between them.

mod agent;
mod command;
mod company;
mod evidence;
mod expected;
mod issuer;
mod judge;
mod once;
mod report;
mod scenarios;
mod serve;
mod stage;
mod upstream;
mod who;
mod workplace;

pub(super) use command::demo;
