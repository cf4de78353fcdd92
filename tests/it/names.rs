//! The names of upstreams, which go to other addresses while the proxy runs.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::support::{Connection, Portcullis, Said, Scripted, World, eventually, request};

/// Starts the binary where the machine's file at this path is this one: in a file system that only it sees. `None` where the
/// machine does not let a process have one.
pub(crate) fn start(world: &World, file: &str, at: &str) -> Option<Portcullis> {
    let script = format!("mount --bind \"$0\" {at} && exec \"$@\"");
    let private = ["--map-root-user", "--mount", "sh", "-c", &script];
    let mut probe = Command::new("unshare");
    probe.args(private).arg(world.path(file)).arg("true").stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        println!("skipped: a process may not have a file system of its own here");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(private).arg(world.path(file)).arg(env!("CARGO_BIN_EXE_portcullis")).stdout(Stdio::null());
    Some(Portcullis::launch(command, &world.path("portcullis.yaml")).unwrap())
}

#[test]
fn a_name_is_followed_to_its_addresses_of_now() {
    let world = World::new();
    let token = world.issuer.token("erin", &[]);
    // The same port at two addresses of the machine.
    let old = Scripted::answering("old");
    let port = old.address.port();
    let new = Scripted::start_at(([127, 0, 0, 2], port).into(), |_, _| Said::ok("new"));
    // In its place, as the file is mounted itself.
    let tell = |address: &str| fs::write(world.path("hosts"), format!("{address} crm.test\n")).unwrap();
    tell("127.0.0.1");
    world.write_with(&format!("url: \"http://crm.test:{port}\", refresh: 100ms"));
    let Some(portcullis) = start(&world, "hosts", "/etc/hosts") else { return };
    let mut kept = Connection::open(portcullis.data);
    let mut get = || {
        kept.send(request("GET", "/documents/d1", &token, "", ""));
        kept.answer().unwrap()
    };
    assert_eq!(get().body, "old");
    tell("127.0.0.2");
    eventually("the next address is known", || (get().body == "new").then_some(()));
    portcullis.until_logged("an upstream's endpoints have changed");
    // What was open to the old address is not used any more.
    assert!((0..20).all(|_| get().body == "new"));
    // A name that is nowhere keeps its addresses.
    fs::write(world.path("hosts"), "\n").unwrap();
    portcullis.until_logged("an upstream's name cannot be resolved");
    assert_eq!(get().body, "new");
    // Several at once.
    fs::write(world.path("hosts"), "127.0.0.1 crm.test\n127.0.0.2 crm.test\n").unwrap();
    for body in ["old", "new"] {
        eventually(body, || (get().body == body).then_some(()));
    }
    assert_eq!(new.address.port(), port);
}
