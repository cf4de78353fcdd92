//! Listening Unix sockets: files that only their owner may connect to.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, ErrorKind},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;

use super::listener::Accepting;

/// Why a Unix socket is not listened on.
#[derive(Debug, Error)]
pub enum UnixSocketError {
    /// Somebody does already.
    #[error("cannot listen on `{0}`: another process does; stop it, or name another path")]
    Taken(PathBuf),
    /// There is something else at the path, and it is not removed.
    #[error("cannot listen on `{0}`: it is there and no socket; remove it, or name another path")]
    NotASocket(PathBuf),
    /// Others are at work there all the time.
    #[error("cannot listen on `{0}`: another process keeps `{0}.lock` locked")]
    Locked(PathBuf),
    /// The path is too long, its directory is missing or may not be written to, and the like.
    #[error("cannot listen on `{0}`: {1}")]
    Failed(PathBuf, io::Error),
}

/// A Unix socket that this process listens on. Its file is removed when this is dropped, if it is still this one's.
///
/// What a process that was killed has left at the path is replaced; a socket that somebody listens on, and any other
/// file, is not. The directory is best the owner's alone, so that nobody else can put files there; a lock file stays in
/// it.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    // Device and number of the file, to remove no other; `None` if the file is another's to remove.
    file: Option<(u64, u64)>,
}

impl UnixSocket {
    /// Listens at this path. Who may connect is who may write to a file of this mode; root may always.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, UnixSocketError> {
        let failed = |error| UnixSocketError::Failed(path.to_owned(), error);
        // Of two processes that find a file left over, the slower one must not remove the socket of the faster one.
        let _one_at_a_time = locked(path)?;
        let socket = match bound(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                refuse_if_alive(path)?;
                fs::remove_file(path).and_then(|()| bound(path))
            }
            other => other,
        };
        let socket = socket.map_err(failed)?;
        let listening = || {
            // Nobody can connect before it listens, so that there is no moment in which others could.
            fs::set_permissions(path, Permissions::from_mode(mode))?;
            let file = identity(path)?;
            socket.set_nonblocking(true)?;
            socket.listen(1024)?;
            Ok(file)
        };
        match listening() {
            Ok(file) => Ok(Self { listener: UnixListener::from(socket), path: path.to_owned(), file: Some(file) }),
            Err(error) => {
                let _ = fs::remove_file(path);
                Err(failed(error))
            }
        }
    }

    /// A socket that somebody else has made, whose file stays.
    pub(super) fn lent(listener: UnixListener, path: PathBuf) -> Self {
        Self { listener, path, file: None }
    }

    /// Removes the file at the end, as if this process had made it.
    pub(super) fn own(&mut self) {
        self.file = identity(&self.path).ok();
    }

    /// Leaves the file to the process that listens on the same socket from now on.
    pub fn leave(&mut self) {
        self.file = None;
    }

    /// Another handle of the same socket.
    pub(super) fn handle(&self) -> io::Result<OwnedFd> {
        self.listener.try_clone().map(OwnedFd::from)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another handle of the same socket, for the runtime of the calling thread.
    pub fn accepting(&self) -> io::Result<Accepting> {
        tokio::net::UnixListener::from_std(self.listener.try_clone()?).map(Accepting::from)
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if self.file.is_some() && identity(&self.path).ok() == self.file {
            // Whoever comes next replaces what cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Device and number of the file.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

fn bound(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    Ok(socket)
}

/// Refuses a path with anything but a socket that nobody listens on.
fn refuse_if_alive(path: &Path) -> Result<(), UnixSocketError> {
    let failed = |error| UnixSocketError::Failed(path.to_owned(), error);
    if !fs::symlink_metadata(path).map_err(failed)?.file_type().is_socket() {
        return Err(UnixSocketError::NotASocket(path.to_owned()));
    }
    let asked = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // Whoever listens and does not accept is alive too, and is not waited for.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    match asked() {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Ok(()) => Err(UnixSocketError::Taken(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(UnixSocketError::Taken(path.to_owned())),
        Err(error) => Err(failed(error)),
    }
}

/// A file beside the path that only its owner can open, locked until this is dropped. It stays, so that all lock the
/// same one.
fn locked(path: &Path) -> Result<File, UnixSocketError> {
    let failed = |error| UnixSocketError::Failed(path.to_owned(), error);
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(beside).map_err(failed)?;
    for _ in 0..100 {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    Err(UnixSocketError::Locked(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn it_is_the_owners_and_goes_away_with_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let socket = UnixSocket::bind(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        assert!(matches!(UnixSocket::bind(&path, 0o600), Err(UnixSocketError::Taken(_))));
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_lock_on_the_directory_does_not_hold_it_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        // Whoever can read a directory can lock it.
        let directory = File::open(folder.path()).unwrap();
        directory.lock().unwrap();
        let _socket = UnixSocket::bind(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(folder.path().join("admin.sock.lock")).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_was_left_over_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let first = UnixSocket::bind(&path, 0o600).unwrap();
        // A file that took its place is not its own, and stays.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "notes").unwrap();
        drop(first);
        assert!(matches!(UnixSocket::bind(&path, 0o600), Err(UnixSocketError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "notes");
    }

    #[test]
    fn of_many_at_a_left_over_file_one_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        let bound: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| UnixSocket::bind(&path, 0o600).ok())).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(bound.len(), 1);
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_path_that_cannot_be_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("gone/admin.sock"), folder.path().join("x".repeat(200))] {
            assert!(matches!(UnixSocket::bind(&path, 0o600), Err(UnixSocketError::Failed(..))), "{}", path.display());
        }
    }
}
