//! What processes tell each other beside the data: plain data, as bytes.
//!
//! Data goes by timely's own connections. Everything else, from the first list of partitions to
//! the last word that all is kept, is a [`Message`]. Messages from one process to another arrive
//! in the order in which they were sent.

use serde::{Deserialize, Serialize};

use crate::recovery::{Change, Codec, Saved};

/// What one process tells another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// Before the start: the partitions that a process can reach, by step.
    Parts(Vec<(String, Vec<String>)>),
    /// From the leader, before the start: what an earlier run kept, for one worker.
    Restored {
        worker: usize,
        step: String,
        states: Vec<Kept>,
    },
    /// From the leader, before the start: there is no more. With a store, sinks are to claim
    /// their partitions.
    Loaded { has_store: bool },
    /// To the leader, before the start: what sinks begin with.
    Claims(Vec<(String, Kept)>),
    /// From the leader: begin, in this epoch, as this execution.
    Begin { epoch: u64, execution: u64 },
    /// A source of this process has begun an epoch.
    Epoch(u64),
    /// Room of the receiver's that is free again.
    GiveBack(usize),
    /// To the leader: what is to be kept.
    Records {
        step: String,
        epoch: u64,
        changes: Vec<Kept>,
    },
    /// From the leader: so many bytes of records have been handed to the store.
    Handed(usize),
    /// To the leader: a worker has come this far.
    Passed { worker: u32, epoch: u64 },
    /// To the leader: everything is over for a worker.
    Finished { worker: u32, last: u64 },
    /// To the leader: a two-phase sink has prepared all before this epoch, or up to it and all
    /// that there is.
    Prepared {
        sink: u32,
        epoch: u64,
        has_ended: bool,
    },
    /// To the leader: a two-phase sink has published all up to this epoch.
    Published { sink: u32, through: u64 },
    /// To the leader: the user wants the run to drain.
    Drain,
    /// From the leader: all epochs up to this one are kept.
    Committed(u64),
    /// From the leader: two-phase sinks are to publish what they have prepared.
    Publish(u64),
    /// From the leader: sources are to stop where they are.
    StopSources,
    /// The run stops, for this reason.
    Halt(Cause),
    /// To the leader: all workers of a process have ended well.
    Ended,
    /// From the leader: everything is kept, and the run has ended well.
    Done,
}

/// The state of a key or a partition, or that there is none any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    key: String,
    state: Option<(bool, Vec<u8>)>,
}

impl Kept {
    pub(crate) fn of((key, saved): Change) -> Self {
        let state = saved.map(|saved| (saved.codec == Codec::Pickle, saved.payload));
        Self { key, state }
    }

    pub(crate) fn into_change(self) -> Change {
        let saved = self.state.map(|(is_pickle, payload)| Saved {
            codec: if is_pickle {
                Codec::Pickle
            } else {
                Codec::Native
            },
            payload,
        });
        (self.key, saved)
    }
}

/// Why a run stops, as another process is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The process in which it happened.
    pub process: usize,
    /// What sort of reason it is.
    pub kind: CauseKind,
}

/// What sort of reason it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CauseKind {
    /// A source asked for it.
    Aborted,
    /// Somebody wants it to stop.
    Interrupted,
    /// A third process is lost.
    Lost {
        /// Which.
        process: usize,
        /// How that shows.
        why: String,
    },
    /// Something failed.
    Failed {
        /// What, for people.
        text: String,
        /// What a process ends with that has stopped for it.
        exit_code: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{decode, encode};

    #[test]
    fn messages_cross_as_they_are() {
        let kept = |state| Kept::of(("key".to_owned(), state));
        let saved = |codec| Saved {
            codec,
            payload: vec![1, 2, 3],
        };
        let messages = [
            Message::Parts(vec![("flow.in".to_owned(), vec!["a".to_owned()])]),
            Message::Records {
                step: "flow.sum".to_owned(),
                epoch: 7,
                changes: vec![kept(None), kept(Some(saved(Codec::Native)))],
            },
            Message::Halt(Cause {
                process: 1,
                kind: CauseKind::Failed {
                    text: "why".to_owned(),
                    exit_code: 70,
                },
            }),
            Message::Done,
        ];
        for message in messages {
            assert_eq!(decode(&encode(&message)), Ok(message));
        }
    }

    #[test]
    fn state_is_the_same_on_the_other_side() {
        for codec in [Codec::Native, Codec::Pickle] {
            let saved = Saved {
                codec,
                payload: vec![9],
            };
            let change = ("a".to_owned(), Some(saved));
            assert_eq!(Kept::of(change.clone()).into_change(), change);
        }
    }
}
