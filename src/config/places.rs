//! Addresses, sockets and the audit log, which must not be in each other's way.

use std::{
    fs, iter,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use crate::net::ListenAddress;

use super::{
    file::File, listen::ListenSettings, located::Located, policy::PolicyFiles, problems::Problems, settings::Reading,
};

/// The longest path of a Unix socket, in bytes (`sun_path` of unix(7), with the zero at its end).
const LONGEST_SOCKET: usize = 107;

/// Refuses an address that one of the others has, or has with all others of this machine.
pub(super) fn refuse_twice<'l>(
    address: Option<SocketAddr>,
    written: &Located<String>,
    others: impl IntoIterator<Item = &'l ListenSettings>,
    problems: &mut Problems,
) {
    let Some(address) = address.filter(|address| address.port() != 0) else { return };
    let mut others = others.into_iter().filter_map(|other| other.address.ip());
    match others.find(|other| overlap(address, *other)) {
        Some(other) if other == address => twice(written, problems),
        Some(other) => {
            let message = format!("`{}` is listened on twice: `{other}` is the same port", written.value);
            problems.add_with_help(written.place, message, "give each listener a port of its own");
        }
        None => {}
    }
}

/// Reports what is listened on twice.
pub(super) fn twice(written: &Located<String>, problems: &mut Problems) {
    let message = format!("`{}` is listened on twice", written.value);
    problems.add_with_help(written.place, message, "give each listener an address of its own");
}

fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |all: IpAddr, one: IpAddr| match all {
        IpAddr::V4(address) => address.is_unspecified() && one.is_ipv4(),
        // It is that of IPv4 too.
        IpAddr::V6(address) => address.is_unspecified(),
    };
    let (first, second) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port() && (first == second || covers(first, second) || covers(second, first))
}

/// Where the operator and the next process ask, if they do.
pub(super) struct Sockets {
    pub(super) admin: Option<PathBuf>,
    pub(super) hand_over: Option<PathBuf>,
}

/// The sockets beside those of agents; none of them is another's.
pub(super) fn sockets(file: &File, listeners: &[ListenSettings], reading: &mut Reading<'_>) -> Sockets {
    let mut taken: Vec<PathBuf> = listeners.iter().filter_map(|listener| socket_of(&listener.address)).collect();
    let mut socket = |written: Option<&Located<String>>| {
        let written = written?;
        let path = reading.beside(written);
        check_socket(&path, written, &mut reading.problems);
        if taken.contains(&path) {
            let message = format!("`{}` is another listener's socket too: they need a socket each", written.value);
            reading.problems.add(written.place, message);
        }
        taken.push(path.clone());
        Some(path)
    };
    let admin = socket(file.admin.as_ref().map(|admin| &admin.socket));
    let hand_over = socket(file.hand_over.as_ref().map(|hand_over| &hand_over.socket));
    Sockets { admin, hand_over }
}

fn socket_of(address: &ListenAddress) -> Option<PathBuf> {
    match address {
        ListenAddress::Unix(path, _) => Some(path.clone()),
        ListenAddress::Ip(_) | ListenAddress::Systemd(_) => None,
    }
}

/// Refuses a path that no Unix socket can have.
pub(super) fn check_socket(path: &Path, written: &Located<String>, problems: &mut Problems) {
    let length = path.as_os_str().len();
    if length > LONGEST_SOCKET {
        let message = format!("the path of a Unix socket has at most {LONGEST_SOCKET} bytes, this one has {length}");
        problems.add_with_help(written.place, message, "name a shorter path, such as one below `/run`");
    }
}

/// The file of audit records, which is only looked at here. Last of all: it must be no file that was read.
pub(super) fn audit_file(
    written: &Located<String>,
    policy: Option<&PolicyFiles>,
    reading: &mut Reading<'_>,
) -> PathBuf {
    let mut of_policy = policy.into_iter().flat_map(|files| iter::once(&files.model).chain(&files.tuples));
    let file = reading.beside(written);
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (message, help) = if file.is_dir() {
        ("is a directory", "name a file in it, such as `audit.jsonl`")
    } else if !parent.is_dir() {
        ("is in a directory that is not there", "make the directory, or name another file")
    } else if reading.reads(&file) || of_policy.any(|read| is_same_file(read, &file)) {
        ("is a file of this configuration: records would be written into it", "name a file for records alone")
    } else {
        return file;
    };
    reading.problems.add_with_help(written.place, format!("`{}` {message}", file.display()), help);
    file
}

/// Whether both are the same file.
pub(super) fn is_same_file(one: &Path, other: &Path) -> bool {
    one == other || fs::canonicalize(one).is_ok_and(|one| fs::canonicalize(other).is_ok_and(|other| one == other))
}
