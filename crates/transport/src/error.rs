//! Why a process can't join its cluster, in sentences for the person who runs it.

use std::fmt;
use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::address::Address;
use crate::identity::ProcessIndex;
use crate::security::{Exposed, SecurityError};

/// Why a process can't join its cluster.
#[derive(Debug, Error)]
pub enum JoinError {
    /// It is not in its own list of addresses.
    #[error(
        "there are addresses for {count} processes, and this is process {process}; they are \
         counted from 0, so give one address for each"
    )]
    NoSuchProcess {
        /// Which it should be.
        process: ProcessIndex,
        /// How many there are.
        count: usize,
    },
    /// Two processes have one address.
    #[error("processes {first} and {second} have the same address `{address}`; give each its own")]
    SameAddress {
        /// One.
        first: ProcessIndex,
        /// The other.
        second: ProcessIndex,
        /// Where both are.
        address: Address,
    },
    /// A limit makes no sense.
    #[error("the {what} of a cluster must be {must}, and is {is}")]
    Limit {
        /// Which.
        what: &'static str,
        /// What it must be.
        must: &'static str,
        /// What it is.
        is: String,
    },
    /// It would be open to a network.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// There is no security to be had.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// It can't listen.
    #[error("process {process} can't listen at {address}: {cause}")]
    Listen {
        /// This process.
        process: ProcessIndex,
        /// Where.
        address: Address,
        /// Why, and what to do.
        cause: String,
    },
    /// The system gives no threads or random numbers.
    #[error("can't join the cluster: {0}")]
    System(#[source] io::Error),
    /// Another process doesn't want it, or isn't what it should be.
    #[error("can't join process {peer} at {address}: {cause}")]
    Refused {
        /// The other.
        peer: ProcessIndex,
        /// Where it is.
        address: Address,
        /// Why.
        cause: Refusal,
    },
    /// Some never came.
    #[error("{}", never_came(*.waited, .missing, .refused))]
    NeverCame {
        /// How long they had.
        waited: Duration,
        /// Who.
        missing: Vec<Missing>,
        /// Who came and was refused.
        refused: Vec<Refused>,
    },
    /// It was asked to end.
    #[error("joining the cluster was interrupted")]
    Interrupted,
}

/// Why a process waits for others longer than usual. It is no failure yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delay {
    /// Someone was refused, who may be mended and come again.
    Refused(Refused),
    /// Someone refuses this process, which others want.
    RefusedBy(Missing),
    /// These have not come for a while.
    Missing(Vec<Missing>),
}

/// Someone who came, and was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which process it says it is, if it came so far.
    pub process: Option<ProcessIndex>,
    /// Where it came from.
    pub from: String,
    /// Why it was refused.
    pub cause: Refusal,
}

/// Who never came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Who.
    pub process: ProcessIndex,
    /// Where it should be.
    pub address: Address,
    /// What was seen of it.
    pub cause: Absence,
}

/// What was seen of a process that never came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// It should have come by itself, and did not.
    NotHeardOf,
    /// It can't be reached.
    Unreachable(String),
    /// Its name stands for no address.
    Unresolved(String),
    /// It came, and was waiting for others.
    Waiting,
    /// It doesn't want us, or isn't what it should be.
    Refused(Refusal),
}

/// Why two processes don't go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// They speak different protocols.
    Protocol {
        /// What each speaks, with the version of its crate.
        own: (u16, String),
        /// What the other speaks, with the version of its crate.
        other: (u16, String),
    },
    /// They are of two clusters.
    Cluster,
    /// They count the processes differently.
    Processes {
        /// How many this process knows.
        own: u32,
        /// How many the other knows.
        other: u32,
    },
    /// They have different numbers of workers.
    Workers {
        /// How many this process has.
        own: u32,
        /// How many the other has.
        other: u32,
    },
    /// They run different code.
    Code,
    /// It is another process than it should be there.
    Process {
        /// Which it should be.
        expected: ProcessIndex,
        /// Which it is.
        found: ProcessIndex,
    },
    /// It looks for another process here.
    Sought(ProcessIndex),
    /// Another process of this index has joined.
    Duplicate(ProcessIndex),
    /// They don't trust each other, for this reason.
    Distrust(String),
    /// It listens with security, and this process has none.
    WantsSecurity,
    /// It connects without security, and this process wants it.
    LacksSecurity,
    /// It connects with security, and this process has none.
    HasSecurity,
    /// It is no process of a cluster.
    Stranger,
}

impl JoinError {
    /// What the process should end with.
    pub fn exit_code(&self) -> u8 {
        match self {
            // One that came and does not go with us is not just late.
            Self::NeverCame { missing, .. } => missing
                .iter()
                .find_map(|missing| match &missing.cause {
                    Absence::Refused(cause) => Some(cause.exit_code()),
                    _ => None,
                })
                .unwrap_or(75),
            Self::System(_) => 75,
            Self::Refused { cause, .. } => cause.exit_code(),
            Self::Interrupted => 130,
            _ => 64,
        }
    }
}

impl Refusal {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Protocol { .. } => 72,
            Self::Code => 78,
            _ => 64,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol { own, other } => write!(
                formatter,
                "it has version {} (protocol {}), and this process version {} (protocol {}); \
                 install the same version for all",
                other.1, other.0, own.1, own.0
            ),
            Self::Cluster => formatter.write_str(
                "it is of another cluster; all processes need the same cluster id, and each \
                 cluster its own addresses",
            ),
            Self::Processes { own, other } => write!(
                formatter,
                "it knows {}, and this process {own}; give all the same addresses",
                count(*other, "process", "processes")
            ),
            Self::Workers { own, other } => write!(
                formatter,
                "it has {}, and this process {own}; give all as many",
                count(*other, "worker", "workers")
            ),
            Self::Code => formatter.write_str(
                "it runs other code than this process; start all with the same dataflow",
            ),
            Self::Process { expected, found } => write!(
                formatter,
                "process {found} is there, not process {expected}; give all the same addresses, \
                 in the same order"
            ),
            Self::Sought(process) => write!(
                formatter,
                "it looks for process {process} here; give all the same addresses, in the same \
                 order"
            ),
            Self::Duplicate(process) => write!(
                formatter,
                "there are two processes with id {process}, and the other has joined already; \
                 give each its own"
            ),
            Self::Distrust(cause) => formatter.write_str(cause),
            Self::WantsSecurity => formatter.write_str(
                "it wants TLS, and this process has neither certificates nor a secret; give all \
                 the same",
            ),
            Self::LacksSecurity => formatter.write_str(
                "it has neither certificates nor a secret, and this process wants TLS; give all \
                 the same",
            ),
            Self::HasSecurity => formatter.write_str(
                "it speaks TLS, and this process has neither certificates nor a secret; give all \
                 the same",
            ),
            Self::Stranger => formatter.write_str(
                "something answers there that is no process of a cluster; see that the address \
                 is right",
            ),
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHeardOf => formatter.write_str("it has not come"),
            Self::Unreachable(cause) => write!(formatter, "can't reach it: {cause}"),
            Self::Unresolved(cause) => write!(formatter, "its name can't be resolved: {cause}"),
            Self::Waiting => formatter.write_str("it waits for another process"),
            Self::Refused(cause) => cause.fmt(formatter),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, cause, .. } = self;
        match self.process {
            Some(process) => write!(formatter, "process {process} from {from}: {cause}"),
            None => write!(formatter, "a connection from {from}: {cause}"),
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => {
                write!(
                    formatter,
                    "refused {refused} (still waiting for all to join)"
                )
            }
            Self::RefusedBy(Missing {
                process,
                address,
                cause,
            }) => write!(
                formatter,
                "can't join process {process} at {address}: {cause} (still waiting for all to join)"
            ),
            Self::Missing(missing) => write!(formatter, "still waiting for {}", listed(missing)),
        }
    }
}

fn count(number: u32, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn listed(missing: &[Missing]) -> String {
    let listed: Vec<_> = missing
        .iter()
        .map(|missing| {
            let Missing {
                process,
                address,
                cause,
            } = missing;
            format!("process {process} at {address} ({cause})")
        })
        .collect();
    listed.join(", ")
}

fn never_came(waited: Duration, missing: &[Missing], refused: &[Refused]) -> String {
    let mut sentence = format!(
        "not all processes of the cluster came within {} s: missing {}",
        waited.as_secs_f64(),
        listed(missing)
    );
    // Of those who are missing it is said already why.
    let is_said = |refused: &Refused| {
        missing
            .iter()
            .any(|missing| missing.cause == Absence::Refused(refused.cause.clone()))
    };
    let refused: Vec<_> = refused.iter().filter(|refused| !is_said(refused)).collect();
    if !refused.is_empty() {
        sentence.push_str("; refused: ");
        let refused: Vec<_> = refused.iter().map(ToString::to_string).collect();
        sentence.push_str(&refused.join(", "));
    }
    let is_absent =
        |missing: &Missing| matches!(missing.cause, Absence::NotHeardOf | Absence::Unreachable(_));
    if refused.is_empty() && missing.iter().any(is_absent) {
        sentence.push_str("; start all of them within that time, with the same addresses");
    }
    sentence
}
