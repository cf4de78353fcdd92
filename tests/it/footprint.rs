//! How much memory the proxy holds: idle, with connections that rest, and under input that is as bad as it can be.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::support::{Connection, Portcullis, World, eventually, raw_http2, request};

const MIB: usize = 1 << 20;

#[test]
fn a_small_policy_takes_little_memory_and_an_idle_connection_hardly_any() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
    let idle = portcullis.anonymous();
    // Pages of its own; those of its code are shared with whoever runs it too. A huge page for each thread would be twice this.
    assert!(idle < 12 * MIB, "{} KiB", idle >> 10);
    let ask = |connection: &mut Connection| {
        connection.send(request("GET", "/documents/d1", &token, "", ""));
        assert_eq!(connection.answer().unwrap().status, 200);
    };
    // What one that rests gives back, its two buffers above all, is there for those that come later.
    let mut resting: Vec<Connection> = (0..1000)
        .map(|_| {
            thread::sleep(Duration::from_millis(3));
            let mut connection = Connection::open(portcullis.data);
            ask(&mut connection);
            connection
        })
        .collect();
    let each = portcullis.anonymous().saturating_sub(idle) / resting.len();
    println!("{} KiB idle, {each} bytes for each connection", idle >> 10);
    assert!(each < 10 * 1024, "{each} bytes for each connection");
    resting.iter_mut().step_by(10).for_each(ask);
}

/// A group of processes that may have so much memory together, with what the kernel keeps for them.
struct Bounded(PathBuf);

impl Bounded {
    /// `None` where no such group can be made, as in most containers.
    fn to(bytes: usize) -> Option<Self> {
        let name = format!("portcullis-test-{}", std::process::id());
        // The second version of control groups, and the first.
        for (root, limit) in [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")] {
            let group = Path::new(root).join(&name);
            if fs::create_dir(&group).is_ok() {
                if fs::write(group.join(limit), bytes.to_string()).is_ok() {
                    return Some(Self(group));
                }
                let _ = fs::remove_dir(group);
            }
        }
        println!("not bounded by the kernel: no control group can be made here");
        None
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        // It can be removed once its last process has ended.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Starts the binary in the group.
fn start(world: &World, bounded: Option<&Bounded>) -> Portcullis {
    let Some(Bounded(group)) = bounded else { return world.start() };
    world.write("portcullis.yaml", world.config());
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
        .arg(group.join("cgroup.procs"))
        .arg(env!("CARGO_BIN_EXE_portcullis"))
        .stdout(Stdio::null());
    Portcullis::launch(command, &world.path("portcullis.yaml")).unwrap()
}

#[test]
fn a_thousand_hostile_connections_fit_into_128_mebibytes() {
    let bounded = Bounded::to(128 * MIB);
    let world = World { more: "timeouts: { head: 3s }".to_owned(), ..World::new() };
    let portcullis = start(&world, bounded.as_ref());
    let token = world.issuer.token("erin", &[]);
    let large = "x".repeat(60_000);
    let header_block = raw_http2::frame(1, 0, 1, &[0x82; 16_000]);
    let continued = raw_http2::frame(9, 0, 1, &[0x84; 16_000]);
    let inputs: [Vec<u8>; 5] = [
        // A head that does not end.
        format!("GET /documents/d1 HTTP/1.1\r\nhost: a\r\nx: {large}").into_bytes(),
        // A body that does not end, nor go on.
        (request("PUT", "/documents/d1", &token, "transfer-encoding: chunked\r\n", "") + "ffff\r\n" + &large)
            .into_bytes(),
        // Fields that grow when they are unpacked, and do not end.
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), raw_http2::frame(4, 0, 0, &[]), header_block, continued]
            .concat(),
        // Many requests at once, whose answers nobody reads.
        request("GET", "/documents/d1", &token, "", "").repeat(60).into_bytes(),
        // No HTTP at all.
        vec![0x16; 60_000],
    ];
    let hostile: Vec<Connection> = (0..1000)
        .map(|number| {
            let mut connection = Connection::open(portcullis.data);
            let _ = connection.stream().set_nonblocking(true);
            connection.send(&inputs[number % inputs.len()]);
            connection
        })
        .collect();
    // Somebody else is served, or told to come again.
    let mut most = 0;
    for _ in 0..20 {
        most = most.max(portcullis.anonymous());
        let answer = portcullis.get("/documents/d1", &token);
        assert!(matches!(answer.status, 200 | 503), "{}", answer.head);
        assert_eq!(answer.status == 503, answer.header("retry-after").is_some());
        thread::sleep(Duration::from_millis(20));
    }
    println!("{} MiB at the most", most / MIB);
    assert!(most < 128 * MIB, "{} MiB", most / MIB);
    drop(hostile);
    eventually("it recovers", || {
        (portcullis.get("/documents/d1", &token).status == 200
            && portcullis.metric("portcullis_requests_in_flight") == 0.0)
            .then_some(())
    });
}
