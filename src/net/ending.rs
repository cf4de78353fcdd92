//! Why a connection is ended whose client would have gone on.

use super::flood::Flood;

/// Why a connection, or a stream of HTTP/2, is ended because of what its client did or did not do, or how long it lasted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is as old as connections become.
    Age,
    /// HTTP/2 without a stream for too long.
    Idle,
    /// Nothing of what was written was taken for too long.
    UnreadAnswer,
    /// The same, of one stream: its window stayed shut.
    UnreadStream,
    /// Frames that cost much and ask for nothing.
    Flood(Flood),
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Age,
        Self::Idle,
        Self::UnreadAnswer,
        Self::UnreadStream,
        Self::Flood(Flood::Control),
        Self::Flood(Flood::WindowUpdates),
        Self::Flood(Flood::Resets),
        Self::Flood(Flood::EmptyFrames),
        Self::Flood(Flood::Protocol),
    ];

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Idle => "idle",
            Self::UnreadAnswer => "unread_answer",
            Self::UnreadStream => "unread_stream",
            Self::Flood(Flood::Control) => "control_flood",
            Self::Flood(Flood::WindowUpdates) => "window_update_flood",
            Self::Flood(Flood::Resets) => "reset_flood",
            Self::Flood(Flood::EmptyFrames) => "empty_frame_flood",
            Self::Flood(Flood::Protocol) => "protocol_flood",
        }
    }
}
