//! The clock on the wall is set while requests are on their way.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::support::{Connection, Portcullis, World, eventually, request, token};

/// Where Debian and others keep the library that tells a process another time (libfaketime).
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];

/// A clock that only one process goes by.
struct Clock {
    folder: TempDir,
    library: &'static str,
}

impl Clock {
    /// `None` where the library is not installed: `make tools` does.
    fn new() -> Option<Self> {
        let library = LIBRARIES.into_iter().find(|library| Path::new(library).exists());
        if library.is_none() {
            println!("skipped: libfaketime is not installed");
        }
        let clock = Self { folder: tempfile::tempdir().unwrap(), library: library? };
        clock.set("+0");
        Some(clock)
    }

    /// Sets it before or after the clock of the test, by so many seconds.
    fn set(&self, by: &str) {
        let (file, next) = (self.folder.path().join("time"), self.folder.path().join("next"));
        fs::write(&next, by).unwrap();
        fs::rename(next, file).unwrap();
    }

    fn start(&self, world: &World) -> Portcullis {
        world.write("portcullis.yaml", world.config());
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command
            .env("LD_PRELOAD", self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.folder.path().join("time"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .stdout(Stdio::null());
        Portcullis::launch(command, &world.path("portcullis.yaml")).unwrap()
    }
}

fn until_jumped(portcullis: &Portcullis, direction: &str, times: f64) {
    let name = format!("portcullis_clock_jumps_total{{direction=\"{direction}\"}}");
    eventually(direction, || (portcullis.metric(&name) == times).then_some(()));
}

/// A token that was good two hours ago, and will be in two hours.
fn lasting(world: &World) -> String {
    token(&world.issuer, "erin", |claims| {
        let now = claims["iat"].as_u64().unwrap();
        claims["iat"] = (now - 7200).into();
        claims["exp"] = (now + 7200).into();
    })
}

#[test]
fn an_hour_more_or_less_ends_no_request_and_credentials_are_judged_by_it() {
    let Some(clock) = Clock::new() else { return };
    let world = World::new();
    let portcullis = clock.start(&world);
    // One of a few minutes, and one that is as good an hour before and after.
    let (token, lasting) = (world.issuer.token("erin", &[]), lasting(&world));
    let get = |connection: &mut Connection| {
        connection.send(request("GET", "/documents/d1", &token, "", ""));
        connection.answer().expect("an answer, within the deadlines of the other clock")
    };
    for (direction, by) in [("forward", "+3600"), ("backward", "-3600")] {
        clock.set("+0");
        let mut idle = Connection::open(portcullis.data);
        eventually("the token counts again", || (get(&mut idle).status == 200).then_some(()));
        let before = portcullis.metric(&format!("portcullis_clock_jumps_total{{direction=\"{direction}\"}}"));
        let mut upload = Connection::open(portcullis.data);
        upload.send(request("PUT", "/documents/d1", &lasting, "content-length: 4\r\n", "") + "ab");
        eventually("it is on its way", || (portcullis.metric("portcullis_requests_in_flight") == 1.0).then_some(()));
        clock.set(by);
        until_jumped(&portcullis, direction, before + 1.0);
        portcullis.until_logged(&format!(
            "the clock was set: credentials are judged by what it says now direction=\"{direction}\""
        ));
        upload.send("cd");
        let answer = upload.answer().unwrap();
        assert_eq!(answer.status, 200, "{direction}: {}", answer.body);
        let took = world.record_of(&answer)["durations_us"]["total"].as_u64().unwrap();
        assert!(took < 60_000_000, "{took} µs: no duration is measured by the clock on the wall");
        let answer = get(&mut idle);
        assert_eq!((answer.status, answer.reason().as_str()), (401, "invalid_credential"), "{direction}");
    }
    assert!(!portcullis.log().contains("panicked"), "{}", portcullis.log());
}

#[test]
fn a_clock_that_is_set_back_makes_no_old_policy_young() {
    let Some(clock) = Clock::new() else { return };
    let world = World { policy_more: "max_staleness: 3s".to_owned(), ..World::new() };
    let portcullis = clock.start(&world);
    let token = lasting(&world);
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
    // From here on the policy in force is not what the source holds, and ages.
    world.replace("model.fga", "not a model");
    portcullis.until_logged("model.fga");
    clock.set("-3600");
    until_jumped(&portcullis, "backward", 1.0);
    let stale = || portcullis.get("/documents/d1", &token);
    let answer = eventually("it is stale after seconds, and not after an hour", || {
        Some(stale()).filter(|answer| answer.status != 200)
    });
    assert_eq!((answer.status, answer.reason().as_str()), (503, "stale_snapshot"));
}
