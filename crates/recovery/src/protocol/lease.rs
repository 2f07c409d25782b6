//! Who may write to a store: one execution at a time.
//!
//! Three things work together, since none is enough alone.
//!
//! - The *lock* of the operating system says at once, and surely, that a process on this host
//!   has the store open, or that it died. It knows nothing of other hosts, and a process that
//!   is stopped keeps it.
//! - The *heartbeat* is a counter that the holder raises. One that is seen to move has a
//!   holder who is alive, wherever that is.
//! - The *generation* is raised by whoever takes the store over, first in the home partition,
//!   together with the record of the new execution, and then in every other partition,
//!   before anything is loaded. Every transaction begins by comparing it. So one who was only
//!   thought to be dead, and goes on, writes nothing.

use crate::id::Generation;
use crate::protocol::abort::Abort;
use crate::protocol::defect::StoreDefect;

/// Whether a process has the store open, as far as this host can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lock {
    /// We hold it now, and the last holder, if there was one, was on this host. So it is gone.
    Ours,
    /// We hold it now, but the last holder was on another host. That says nothing.
    OursAlone,
    /// Another process of this host holds it. Maybe it is stopped.
    Taken,
}

/// What was seen of the heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Heartbeat {
    /// Nobody has looked long enough.
    Unobserved,
    /// It did not move for as long as a holder may be silent.
    Still,
    /// It moved.
    Moved,
}

/// What a store says about who has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holding {
    /// The newest generation: zero in a store that nobody has used.
    pub generation: Generation,
    /// Whether that generation said that it was done.
    pub is_released: bool,
}

/// What to do about a store that we want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Take it over, as this generation, if it is still held by the one before.
    TakeOver(Generation),
    /// Look at the heartbeat for as long as a holder may be silent, and ask again.
    Observe,
    /// Leave it alone.
    Refuse(Abort),
}

/// Decides whether to take over a store.
pub fn decide(lock: Lock, holding: Holding, heartbeat: Heartbeat) -> Decision {
    let Holding {
        generation,
        is_released,
    } = holding;
    let is_gone = match lock {
        Lock::Ours => true,
        Lock::OursAlone => is_released,
        Lock::Taken => false,
    };
    match heartbeat {
        _ if is_gone => Decision::TakeOver(generation.next()),
        Heartbeat::Unobserved => Decision::Observe,
        Heartbeat::Still => Decision::TakeOver(generation.next()),
        Heartbeat::Moved => Decision::Refuse(Abort::StoreInUse { holder: generation }),
    }
}

/// Whether a writer may write where this generation is recorded; asked in every transaction.
pub fn admit(writer: Generation, recorded: Generation) -> Result<(), Abort> {
    if recorded < writer && is_fencing() {
        return Err(Abort::Defect(StoreDefect::ReplacedWhileRunning {
            mine: writer,
            found: recorded,
        }));
    }
    may_fence(writer, recorded)
}

/// Whether a generation may take over a partition where this one is recorded.
///
/// One who was stopped in the middle of taking over a store, and goes on after another has
/// begun, must not take anything back.
pub fn may_fence(writer: Generation, recorded: Generation) -> Result<(), Abort> {
    if recorded > writer && is_fencing() {
        return Err(Abort::Fenced {
            mine: writer,
            holder: recorded,
        });
    }
    Ok(())
}

/// Whether generations are compared at all.
fn is_fencing() -> bool {
    !cfg!(feature = "unsound-no-fencing")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: Holding = Holding {
        generation: Generation(4),
        is_released: false,
    };
    const RELEASED: Holding = Holding {
        generation: Generation(4),
        is_released: true,
    };
    const TAKE_OVER: Decision = Decision::TakeOver(Generation(5));

    #[test]
    fn dead_holder_on_this_host_is_followed_at_once() {
        assert_eq!(decide(Lock::Ours, HELD, Heartbeat::Unobserved), TAKE_OVER);
    }

    #[test]
    fn holder_elsewhere_is_followed_at_once_only_if_it_said_so() {
        let decide = |holding, heartbeat| decide(Lock::OursAlone, holding, heartbeat);
        assert_eq!(decide(RELEASED, Heartbeat::Unobserved), TAKE_OVER);
        assert_eq!(decide(HELD, Heartbeat::Unobserved), Decision::Observe);
        assert_eq!(decide(HELD, Heartbeat::Still), TAKE_OVER);
    }

    #[test]
    fn living_holder_is_left_alone() {
        for lock in [Lock::OursAlone, Lock::Taken] {
            let Decision::Refuse(reason) = decide(lock, HELD, Heartbeat::Moved) else {
                panic!("a living holder must be left alone");
            };
            assert_eq!(reason.exit_code().code(), 73);
            assert_eq!(
                reason.to_string(),
                "the recovery store is in use by another run (generation 4), which is still \
                 writing to it; stop that one first, or use another store"
            );
        }
    }

    #[test]
    fn stopped_holder_is_followed_although_it_has_the_lock() {
        let decide = |heartbeat| decide(Lock::Taken, HELD, heartbeat);
        assert_eq!(decide(Heartbeat::Unobserved), Decision::Observe);
        assert_eq!(decide(Heartbeat::Still), TAKE_OVER);
    }

    /// It has the lock before it has said anything in the store.
    #[test]
    fn holder_that_is_just_beginning_is_not_overrun() {
        let decision = decide(Lock::Taken, RELEASED, Heartbeat::Unobserved);
        assert_eq!(decision, Decision::Observe);
    }

    #[cfg(not(feature = "unsound-no-fencing"))]
    #[test]
    fn only_the_generation_that_is_recorded_may_write() {
        let admit = |recorded| admit(Generation(4), Generation(recorded));
        assert_eq!(admit(4), Ok(()));
        assert_eq!(admit(5).unwrap_err().exit_code().code(), 73);
        assert_eq!(admit(3).unwrap_err().exit_code().code(), 76);
    }

    #[cfg(not(feature = "unsound-no-fencing"))]
    #[test]
    fn partition_is_never_taken_back() {
        let may_fence = |recorded| may_fence(Generation(4), Generation(recorded));
        assert_eq!(may_fence(3), Ok(()));
        assert_eq!(may_fence(4), Ok(()));
        assert_eq!(may_fence(5).unwrap_err().exit_code().code(), 73);
    }
}
