//! A fault of the proxy itself while it serves a request. The binary has no switch for that: it is its clock that fails.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{Connection, Portcullis, World, eventually, request};

/// A library under the binary whose clock cannot be read once, when the file that `BROKEN_CLOCK` names is there: by a
/// worker, the second time after it has read the one on the wall. The first time is when the request's record begins.
/// The file has to be there before the wall's clock is read, which an answer's date does too: what still happens after
/// an answer that the client already has is not what fails.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    static __thread int readings = 2;
    const char *file = getenv("BROKEN_CLOCK");
    static int (*real)(clockid_t, struct timespec *);
    char name[16] = "";
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (clock == CLOCK_REALTIME) readings = file && access(file, F_OK) == 0 ? 0 : 2;
    if (clock == CLOCK_MONOTONIC && readings < 2 && ++readings == 2) {
        pthread_getname_np(pthread_self(), name, sizeof name);
        if (strncmp(name, "worker-", 7) == 0 && unlink(file) == 0) {
            errno = EINVAL;
            return -1;
        }
    }
    return real(clock, time);
}
"#;

/// The library; `None` where there is no compiler for it.
fn library(world: &World) -> Option<PathBuf> {
    world.write("clock.c", CLOCK);
    let made = world.path("clock.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&made).arg(world.path("clock.c")).arg("-ldl");
    let is_made = compiler.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !is_made {
        println!("skipped: there is no C compiler");
    }
    is_made.then_some(made)
}

fn start(world: &World, library: &Path) -> Portcullis {
    world.write("portcullis.yaml", world.config());
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env("LD_PRELOAD", library).env("BROKEN_CLOCK", world.path("broken")).stdout(Stdio::null());
    Portcullis::launch(command, &world.path("portcullis.yaml")).unwrap()
}

#[test]
fn a_fault_denies_its_request_with_a_record_and_the_others_go_on() {
    let world = World::new();
    let Some(library) = library(&world) else { return };
    let portcullis = start(&world, &library);
    let token = world.issuer.token("erin", &[]);
    let mut beside: Vec<_> = (0..4).map(|_| Connection::open(portcullis.data)).collect();
    let mut ask_beside = || {
        for connection in &mut beside {
            connection.send(request("GET", "/documents/d1", &token, "", ""));
            assert_eq!(connection.answer().expect("it goes on").status, 200);
        }
    };
    ask_beside();
    let before = world.upstream.seen().len();
    let mut faulty = Connection::open(portcullis.data);
    for _ in 0..10 {
        fs::write(world.path("broken"), "").unwrap();
        faulty.send(request("GET", "/documents/d1", &token, "", ""));
        let answer = faulty.answer().expect("an answer");
        assert_eq!((answer.status, answer.reason().as_str()), (500, "internal_error"));
        let record = world.record_of(&answer);
        assert_eq!((&record["outcome"], &record["complete"]), (&"deny".into(), &true.into()), "{record}");
    }
    assert_eq!(world.upstream.seen().len(), before, "none of them was forwarded");
    assert!(portcullis.log().contains("panicked"), "these were faults");
    ask_beside();
    faulty.send(request("GET", "/documents/d1", &token, "", ""));
    assert_eq!(faulty.answer().expect("its connection goes on too").status, 200);
    eventually("nothing is left", || (portcullis.metric("portcullis_requests_in_flight") == 0.0).then_some(()));
    portcullis.signal("-TERM");
    assert!(portcullis.wait().success());
    assert_eq!(world.audit().len(), 19);
}
