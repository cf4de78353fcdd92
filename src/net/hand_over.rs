//! Listening sockets that pass from one process to the next, so that no connection is refused or lost between them.
//!
//! Both processes accept from the very same sockets until the first one leaves: there is one queue, and whoever is left
//! takes what is in it. Two sockets at one address (`SO_REUSEPORT`) would have a queue each, and the kernel resets what
//! waits in the one that is closed.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        recvmsg, sendmsg, sockopt::socket_peercred,
    },
    process::geteuid,
};
use thiserror::Error;
use tokio::{io::AsyncReadExt, sync::watch, time::timeout};

use super::{
    drain::DrainSignal,
    listener::{AcceptingSocket, Listener},
};

/// The most sockets that can be passed in one message.
const MOST: usize = 250;
/// The longest list of what is passed, in bytes.
const LONGEST: usize = 256 * 1024;
/// How long the process before may take to pass its sockets.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the next process may take to serve, once it has the sockets.
const STARTING: Duration = Duration::from_secs(120);
/// What the next process says when it serves.
const SERVING: u8 = b'S';

/// Why sockets do not pass.
#[derive(Debug, Error)]
pub enum HandOverError {
    /// The process before cannot be asked.
    #[error("the process at `{0}` cannot be asked for its sockets: {1}")]
    Unreachable(PathBuf, io::Error),
    /// Somebody else listens there.
    #[error("`{0}` belongs to another user: its sockets are not taken")]
    OtherUser(PathBuf),
    /// What came is not a list of sockets and the sockets.
    #[error("what the process at `{0}` has passed is not understood: is it of another version?")]
    NotUnderstood(PathBuf),
    /// There are too many of them.
    #[error("{0} listeners are too many to hand over, at most 250 can be")]
    TooMany(usize),
}

/// How far the sockets of this process have passed to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// They are this one's alone.
    Kept,
    /// The next process has them, and does not serve yet.
    Lent,
    /// The next process serves on them.
    Passed,
}

/// The process before this one, and the sockets that it has passed.
#[derive(Debug)]
pub struct Predecessor {
    stream: UnixStream,
    // Each with what it is for and where it was asked for, in its order.
    passed: Vec<(String, OwnedFd)>,
}

impl Predecessor {
    /// Asks whoever listens at this path for its sockets; `None` if nobody does.
    pub fn ask(path: &Path) -> Result<Option<Self>, HandOverError> {
        let unreachable = |error| HandOverError::Unreachable(path.to_owned(), error);
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(unreachable(error)),
        };
        if !is_own(stream.as_fd()).map_err(unreachable)? {
            return Err(HandOverError::OtherUser(path.to_owned()));
        }
        stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
        let (names, sockets) = received(&stream).map_err(unreachable)?;
        let names: Option<Vec<String>> = serde_json::from_slice(&names).ok();
        match names.filter(|names| names.len() == sockets.len()) {
            Some(names) => Ok(Some(Self { stream, passed: names.into_iter().zip(sockets).collect() })),
            None => Err(HandOverError::NotUnderstood(path.to_owned())),
        }
    }

    /// The next socket of this name, if there is one that has not been taken.
    pub fn take(&mut self, name: &str) -> Option<OwnedFd> {
        let index = self.passed.iter().position(|(known, _)| known == name)?;
        Some(self.passed.remove(index).1)
    }

    /// Tells it that this process serves now: it leaves. What was not taken stays its own.
    pub fn serving(mut self) {
        // It may have ended meanwhile: then nobody needs to be told.
        let _ = self.stream.write_all(&[SERVING]);
    }
}

/// What this process would pass to the next one.
#[derive(Debug)]
pub struct HandOver {
    names: Vec<u8>,
    sockets: Vec<OwnedFd>,
    passage: watch::Sender<Passage>,
}

impl HandOver {
    /// Offers these sockets, each by its name, and tells how far they have passed.
    pub fn new(offered: Vec<(String, OwnedFd)>) -> Result<(Self, watch::Receiver<Passage>), HandOverError> {
        if offered.len() > MOST {
            return Err(HandOverError::TooMany(offered.len()));
        }
        let (names, sockets): (Vec<String>, _) = offered.into_iter().unzip();
        let mut names = serde_json::to_vec(&names).unwrap_or_default();
        names.push(b'\n');
        let (passage, told) = watch::channel(Passage::Kept);
        Ok((Self { names, sockets, passage }, told))
    }

    /// Passes the sockets to the next process that asks on this listener and then serves, or until the drain is ordered.
    pub async fn run(self, mut listener: Listener, mut drain: DrainSignal) {
        let accepting = match listener.accepting() {
            Ok(accepting) => accepting.socket,
            Err(error) => return tracing::error!(%error, "the next process cannot ask for the sockets"),
        };
        let AcceptingSocket::Unix(accepting) = accepting else { return };
        loop {
            let accepted = tokio::select! {
                biased;
                () = drain.ordered() => return,
                accepted = accepting.accept() => accepted,
            };
            let Ok((mut stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            if !is_own(stream.as_fd()).unwrap_or(false) {
                tracing::warn!("a process of another user has asked for the sockets, and got none");
                continue;
            }
            if let Err(error) = self.send(stream.as_fd()) {
                tracing::warn!(%error, "the sockets could not be passed");
                continue;
            }
            self.passage.send_replace(Passage::Lent);
            let told = tokio::select! {
                biased;
                told = timeout(STARTING, stream.read_u8()) => told,
                () = drain.ordered() => return listener.leave(),
            };
            if matches!(told, Ok(Ok(SERVING))) {
                listener.leave();
                self.passage.send_replace(Passage::Passed);
                return;
            }
            self.passage.send_replace(Passage::Kept);
            tracing::warn!("the process that was given the sockets has ended without serving, this one goes on");
        }
    }

    fn send(&self, to: BorrowedFd<'_>) -> io::Result<()> {
        let sockets: Vec<BorrowedFd<'_>> = self.sockets.iter().map(AsFd::as_fd).collect();
        let mut space = vec![MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
        let mut message = SendAncillaryBuffer::new(&mut space);
        if !message.push(SendAncillaryMessage::ScmRights(&sockets)) {
            return Err(io::Error::other("there is no room for them"));
        }
        let sent = sendmsg(to, &[IoSlice::new(&self.names)], &mut message, SendFlags::NOSIGNAL)?;
        if sent == self.names.len() { Ok(()) } else { Err(io::Error::other("their list was not sent whole")) }
    }
}

/// Whether a process of the same user, or of root, is at the other end.
fn is_own(stream: BorrowedFd<'_>) -> io::Result<bool> {
    let other = socket_peercred(stream)?.uid;
    Ok(other == geteuid() || other.is_root())
}

/// A line, without its end, and the sockets that came with it.
fn received(mut stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut text = vec![0; 16 * 1024];
    let mut sockets = Vec::new();
    let mut space = vec![MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let begun = recvmsg(stream, &mut [IoSliceMut::new(&mut text)], &mut message, RecvFlags::CMSG_CLOEXEC)?;
    for message in message.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            sockets.extend(passed);
        }
    }
    text.truncate(begun.bytes);
    while !text.ends_with(b"\n") {
        let mut more = vec![0; 16 * 1024];
        let read = stream.read(&mut more)?;
        if read == 0 || text.len() > LONGEST {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        more.truncate(read);
        text.append(&mut more);
    }
    text.pop();
    Ok((text, sockets))
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        thread,
    };

    use tokio::runtime::Builder;

    use super::*;
    use crate::net::{Drain, ListenAddress};

    /// How far its sockets have passed, and whether its own file is left.
    fn with_a_process_before(offered: Vec<(String, OwnedFd)>, after: impl FnOnce(&Path)) -> (Passage, bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hand-over.sock");
        let listener = Listener::bind(&ListenAddress::Unix(path.clone(), 0o600)).unwrap();
        let (hand_over, told) = HandOver::new(offered).unwrap();
        let (drain, signal) = Drain::new();
        let before = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(hand_over.run(listener, signal));
        });
        after(&path);
        // The answer is there before the thread is told to end.
        for _ in 0..100 {
            if *told.borrow() == Passage::Passed {
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        drain.order();
        before.join().unwrap();
        let passage = *told.borrow();
        (passage, path.exists())
    }

    fn socket() -> (TcpListener, (String, OwnedFd)) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let handle = OwnedFd::from(listener.try_clone().unwrap());
        (listener, ("data 127.0.0.1:0".to_owned(), handle))
    }

    #[test]
    fn the_next_process_accepts_what_came_to_the_one_before() {
        let (listener, offered) = socket();
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).unwrap();
        drop(listener);
        let done = with_a_process_before(vec![offered], |path| {
            let mut before = Predecessor::ask(path).unwrap().expect("somebody listens");
            assert!(before.take("data 127.0.0.1:1").is_none());
            let taken = TcpListener::from(before.take("data 127.0.0.1:0").unwrap());
            assert!(before.take("data 127.0.0.1:0").is_none());
            before.serving();
            // It was in the queue before the socket passed.
            taken.accept().unwrap();
        });
        assert_eq!(done, (Passage::Passed, true));
    }

    #[test]
    fn who_ends_without_serving_takes_nothing_over() {
        let (_listener, offered) = socket();
        let done = with_a_process_before(vec![offered], |path| {
            drop(Predecessor::ask(path).unwrap().unwrap());
            // And the next one is given the same.
            assert!(Predecessor::ask(path).unwrap().unwrap().take("data 127.0.0.1:0").is_some());
        });
        assert_eq!(done, (Passage::Kept, false));
    }

    #[test]
    fn who_is_told_to_end_meanwhile_leaves_its_files() {
        let (_listener, offered) = socket();
        let mut next = None;
        let done = with_a_process_before(vec![offered], |path| next = Predecessor::ask(path).unwrap());
        assert_eq!(done, (Passage::Lent, true));
        assert!(next.unwrap().take("data 127.0.0.1:0").is_some());
    }

    #[test]
    fn nobody_before_is_no_problem_and_a_stranger_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hand-over.sock");
        assert!(Predecessor::ask(&path).unwrap().is_none());
        let stranger = std::os::unix::net::UnixListener::bind(&path).unwrap();
        for said in [&b"HTTP/1.1 200 OK\r\n\r\n"[..], b"[\"data\"]\n", b"", b"[\"data\""] {
            let refused = thread::scope(|scope| {
                scope.spawn(|| stranger.accept().unwrap().0.write_all(said).unwrap());
                Predecessor::ask(&path)
            });
            assert!(refused.is_err(), "{said:?}");
        }
        drop(stranger);
        assert!(Predecessor::ask(&path).unwrap().is_none(), "what was left over is nobody");
    }
}
