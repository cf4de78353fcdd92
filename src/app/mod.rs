//! The composition root: puts the parts together, and takes them down in order.

mod assembler;
mod authority;
mod clock;
mod huge_pages;
mod operator;
mod running;
mod signals;
mod sockets;
mod upstreams;
mod worker;

pub use assembler::{check_everything, load_snapshot};
pub use authority::{AuthorityStartError, RunningAuthority};
pub use huge_pages::HugePages;
pub use operator::AdminError;
pub use running::{Running, StartError, Stopped};
pub use signals::{Signals, Told};
