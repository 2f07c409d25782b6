//! What waits to be written to a peer, and what to write next: decisions without a socket.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_threads::Panic;

use crate::loss::Loss;
use crate::wire::frame::Farewell;

/// How long the control connection may take to say why, after the data stream broke.
const GRACE: Duration = Duration::from_millis(300);

/// Whether a peer is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It is.
    Alive,
    /// It has said goodbye.
    Finished,
    /// It is lost.
    Lost,
}

/// What the writer does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Send a message.
    Message(Arc<Vec<u8>>),
    /// Show that we are alive.
    Heartbeat,
    /// Say goodbye.
    GoodBye(Farewell),
    /// Take the peer for lost.
    Lose(Loss),
    /// Tell here that a thread has panicked.
    Tell(Panic),
    /// Wait for something to happen, but no longer than this.
    Wait(Duration),
    /// Nothing more will be written.
    Close,
}

/// What waits to be written to a peer, and how it is with it.
#[derive(Debug)]
pub(super) struct Outbox {
    messages: VecDeque<Arc<Vec<u8>>>,
    bytes: usize,
    limit: usize,
    beat: Duration,
    last: Instant,
    pub(super) life: Life,
    goodbye: Option<Farewell>,
    is_goodbye_said: bool,
    broken: Option<(Instant, Loss)>,
    /// What was not yet told here.
    panic: Option<Panic>,
    /// Whether nothing that the peer says is heard any more.
    pub(super) is_deaf: bool,
}

impl Outbox {
    pub(super) fn new(now: Instant, beat: Duration, limit: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            limit,
            beat,
            last: now,
            life: Life::Alive,
            goodbye: None,
            is_goodbye_said: false,
            broken: None,
            panic: None,
            is_deaf: false,
        }
    }

    /// Whether messages are still taken at all.
    pub(super) fn is_open(&self) -> bool {
        self.goodbye.is_none() && self.life != Life::Lost
    }

    /// Whether a message can be taken now. One always can, however large.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.messages.is_empty() || self.bytes.saturating_add(bytes) <= self.limit
    }

    pub(super) fn push(&mut self, message: Arc<Vec<u8>>) {
        self.bytes += message.len();
        self.messages.push_back(message);
    }

    /// The last thing to say, after what waits; the first one counts.
    pub(super) fn say_goodbye(&mut self, farewell: Farewell) {
        self.goodbye.get_or_insert(farewell);
    }

    /// The peer is lost: what waited is for nobody, and it is told if it can be.
    pub(super) fn lose(&mut self, tell: Option<Farewell>) {
        self.life = Life::Lost;
        self.messages.clear();
        self.bytes = 0;
        match tell {
            Some(farewell) => self.goodbye = Some(farewell),
            None => self.is_goodbye_said = true,
        }
    }

    /// The data stream broke. If it just ended, the peer may say why in a moment.
    pub(super) fn note_broken(&mut self, now: Instant, loss: Loss) {
        let due = match loss {
            Loss::Defect(_) => now,
            _ => now + GRACE,
        };
        self.broken.get_or_insert((due, loss));
    }

    /// A thread of this process has panicked that the data stream needs. The peer is well, and to
    /// be told why the run ends.
    pub(super) fn note_panic(&mut self, panic: Panic) {
        self.panic.get_or_insert(panic);
    }

    /// Whether both have said goodbye as far as can be known, or the peer is lost and was told.
    fn is_over(&self) -> bool {
        self.is_goodbye_said && (self.life != Life::Alive || self.is_deaf)
    }

    /// What to do at a moment.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let next = self.decide(now);
        match &next {
            Next::Message(_) | Next::Heartbeat => self.last = now,
            Next::GoodBye(_) => {
                self.last = now;
                self.is_goodbye_said = true;
            }
            Next::Lose(_) | Next::Tell(_) | Next::Wait(_) | Next::Close => {}
        }
        next
    }

    fn decide(&mut self, now: Instant) -> Next {
        if let Some(panic) = self.panic.take() {
            return Next::Tell(panic);
        }
        if self.is_over() {
            return Next::Close;
        }
        if let Some((due, loss)) = &self.broken
            && self.life == Life::Alive
            && *due <= now
        {
            return Next::Lose(loss.clone());
        }
        if let Some(message) = self.messages.pop_front() {
            self.bytes -= message.len();
            return Next::Message(message);
        }
        match self.goodbye {
            Some(farewell) if !self.is_goodbye_said => return Next::GoodBye(farewell),
            _ => {}
        }
        let beat = self.last + self.beat;
        if beat <= now {
            return Next::Heartbeat;
        }
        let due = match &self.broken {
            Some((due, _)) if self.life == Life::Alive => beat.min(*due),
            _ => beat,
        };
        Next::Wait(due - now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::wire::frame::Defect;

    const BEAT: Duration = Duration::from_secs(1);

    fn outbox(now: Instant) -> Outbox {
        Outbox::new(now, BEAT, 100)
    }

    #[test]
    fn heartbeat_is_for_when_nothing_was_said() {
        let now = clock::now();
        let mut outbox = outbox(now);
        assert_eq!(outbox.next(now), Next::Wait(BEAT));
        let half = now + BEAT / 2;
        let message = Arc::new(vec![1]);
        outbox.push(Arc::clone(&message));
        assert_eq!(outbox.next(half), Next::Message(message));
        assert_eq!(outbox.next(now + BEAT), Next::Wait(BEAT / 2));
        assert_eq!(outbox.next(half + BEAT), Next::Heartbeat);
        assert_eq!(outbox.next(half + BEAT), Next::Wait(BEAT));
    }

    #[test]
    fn goodbye_comes_after_what_waits_and_heartbeats_go_on_until_it_is_answered() {
        let now = clock::now();
        let mut outbox = outbox(now);
        let message = Arc::new(vec![1]);
        outbox.push(Arc::clone(&message));
        outbox.say_goodbye(Farewell::Done);
        assert!(!outbox.is_open());
        assert_eq!(outbox.next(now), Next::Message(message));
        assert_eq!(outbox.next(now), Next::GoodBye(Farewell::Done));
        assert_eq!(outbox.next(now), Next::Wait(BEAT));
        assert_eq!(outbox.next(now + BEAT), Next::Heartbeat);
        outbox.life = Life::Finished;
        assert_eq!(outbox.next(now), Next::Close);
    }

    #[test]
    fn goodbye_of_the_peer_does_not_end_what_is_sent_to_it() {
        let now = clock::now();
        let mut outbox = outbox(now);
        outbox.life = Life::Finished;
        assert!(outbox.is_open());
        assert_eq!(outbox.next(now), Next::Wait(BEAT));
        outbox.say_goodbye(Farewell::Done);
        assert_eq!(outbox.next(now), Next::GoodBye(Farewell::Done));
        assert_eq!(outbox.next(now), Next::Close);
    }

    #[test]
    fn lost_peer_is_told_why_and_nothing_else() {
        let now = clock::now();
        let mut told = outbox(now);
        told.push(Arc::new(vec![1]));
        told.lose(Some(Farewell::Silent));
        assert_eq!(told.next(now), Next::GoodBye(Farewell::Silent));
        assert_eq!(told.next(now), Next::Close);
        let mut gone = outbox(now);
        gone.push(Arc::new(vec![1]));
        gone.lose(None);
        assert_eq!(gone.next(now), Next::Close);
    }

    #[test]
    fn peer_whose_data_stream_broke_may_say_why_for_a_moment() {
        let now = clock::now();
        let mut outbox = outbox(now);
        outbox.note_broken(now, Loss::Closed);
        outbox.note_broken(now, Loss::Reset);
        assert_eq!(outbox.next(now), Next::Wait(GRACE));
        assert_eq!(outbox.next(now + GRACE), Next::Lose(Loss::Closed));
        outbox.life = Life::Finished;
        assert_eq!(
            outbox.next(now + GRACE),
            Next::Wait(BEAT.saturating_sub(GRACE))
        );
    }

    #[test]
    fn peer_that_sends_nonsense_is_lost_at_once() {
        let now = clock::now();
        let mut outbox = outbox(now);
        let loss = Loss::Defect(Defect::Garbled);
        outbox.note_broken(now, loss.clone());
        assert_eq!(outbox.next(now), Next::Lose(loss));
    }

    #[test]
    fn panic_is_told_once_and_the_peer_is_not_lost_by_it() {
        let now = clock::now();
        let mut outbox = outbox(now);
        let panic = Panic::of_this_thread();
        outbox.note_panic(panic.clone());
        assert_eq!(outbox.next(now), Next::Tell(panic));
        assert_eq!(outbox.next(now), Next::Wait(BEAT));
        assert!(outbox.is_open());
    }

    #[test]
    fn nothing_is_awaited_that_would_not_be_heard() {
        let now = clock::now();
        let mut outbox = outbox(now);
        outbox.is_deaf = true;
        let message = Arc::new(vec![1]);
        outbox.push(Arc::clone(&message));
        outbox.say_goodbye(Farewell::Done);
        assert_eq!(outbox.next(now), Next::Message(message));
        assert_eq!(outbox.next(now), Next::GoodBye(Farewell::Done));
        assert_eq!(outbox.next(now), Next::Close);
    }

    #[test]
    fn room_ends_at_the_limit_but_one_message_always_fits() {
        let mut outbox = outbox(clock::now());
        assert!(outbox.has_room(1000));
        outbox.push(Arc::new(vec![0; 60]));
        assert!(outbox.has_room(40));
        assert!(!outbox.has_room(41));
    }
}
