//! How a peer is lost.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use crate::wire::frame::{Defect, Farewell};

/// How a peer was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// Its connection ended without a goodbye: the process is gone.
    Closed,
    /// Its connection was reset: the process is gone.
    Reset,
    /// Nothing came from it for so long.
    Silent(Duration),
    /// Its host doesn't take what is sent any more.
    Unanswered,
    /// It sent what makes no sense, or too much at once.
    Defect(Defect),
    /// It said that it ends before its work is done.
    Abandoned,
    /// It said that it takes this process for lost.
    Told(Farewell),
    /// The system says something else.
    Broken(String),
}

impl Loss {
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::NotConnected => {
                Self::Closed
            }
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Self::Reset,
            ErrorKind::TimedOut => Self::Unanswered,
            _ => Self::Broken(error.to_string()),
        }
    }

    /// What to tell the peer, if it may still hear.
    pub(crate) fn farewell(&self) -> Farewell {
        match self {
            Self::Silent(_) => Farewell::Silent,
            Self::Defect(Defect::Garbled) => Farewell::Garbled,
            Self::Defect(Defect::TooLarge { .. }) => Farewell::TooLarge,
            _ => Farewell::DataLost,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => formatter.write_str("connection closed"),
            Self::Reset => formatter.write_str("connection reset"),
            Self::Silent(span) => write!(formatter, "silent for {} s", span.as_secs_f64()),
            Self::Unanswered => formatter.write_str("its host doesn't take data any more"),
            Self::Defect(defect) => defect.fmt(formatter),
            Self::Abandoned => formatter.write_str("it ended before its work was done"),
            Self::Told(farewell) => formatter.write_str(match farewell {
                Farewell::Done => "it said goodbye",
                Farewell::Abandoned => "it ended before its work was done",
                Farewell::Silent => "it heard nothing from this process for too long",
                Farewell::Garbled => "it got something from this process that is no frame",
                Farewell::TooLarge => {
                    "it got a frame from this process that is larger than it takes"
                }
                Farewell::DataLost => "its data stream from this process broke",
                Farewell::Panicked => "a thread of it panicked",
            }),
            Self::Broken(cause) => write!(formatter, "connection broken: {cause}"),
        }
    }
}
