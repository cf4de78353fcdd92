//! A fault of the proxy itself while it serves a request. The binary has no switch for that: it is its clock that fails.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{Connection, Portcullis, World, eventually, request};

/// A library under the binary whose clock cannot be read once, after a thread has received the word `broken-clock`: the
/// second time after that thread has read the clock on the wall. The first time is when the request's record begins.
/// It is the thread and what it received that count, not the time: what another request is still owed, or a task that
/// looks at the clock now and then, is not what fails.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static __thread enum { WHOLE, RECEIVED, BEGUN, READ } clock_is = WHOLE;

ssize_t recv(int socket, void *buffer, size_t length, int flags) {
    static ssize_t (*real)(int, void *, size_t, int);
    if (!real) real = (ssize_t (*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
    ssize_t received = real(socket, buffer, length, flags);
    if (received > 0 && memmem(buffer, received, "broken-clock", 12)) clock_is = RECEIVED;
    return received;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (clock == CLOCK_REALTIME && clock_is != WHOLE) clock_is = BEGUN;
    if (clock == CLOCK_MONOTONIC && clock_is == READ) {
        clock_is = WHOLE;
        errno = EINVAL;
        return -1;
    }
    if (clock == CLOCK_MONOTONIC && clock_is == BEGUN) clock_is = READ;
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
    command.env("LD_PRELOAD", library).stdout(Stdio::null());
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
        faulty.send(request("GET", "/documents/d1", &token, "Broken: broken-clock\r\n", ""));
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
