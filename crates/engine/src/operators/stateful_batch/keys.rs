//! The keys of one worker: their state, their timers, and the order in which they are
//! called and emit.
//!
//! What keys emit comes out in the order of their text, so that results don't depend on
//! hashing. Each key gets all values that arrived together in one call.

mod chain;
mod compact;

use std::time::Duration;

use hashbrown::HashTable;

use crate::clock::Micros;
use crate::context::Context;
use crate::host::{Failure, Host, Key};
use crate::logic::{Asking, Emit, Fate, KeyedLogic};
use crate::operators::stateful_batch::changes::Changes;
use crate::operators::stateful_batch::emitting::{Emitted, Emitting};
use crate::operators::stateful_batch::order::{Sorted, sort};
use crate::operators::stateful_batch::timers::Timers;
use crate::recovery::{Change, Saved};

/// How long a key waits that asks for the moment that it was just notified for.
const PAUSE: Duration = Duration::from_secs(1);

/// The keys of one worker, whatever is kept of them.
pub(crate) trait AnyKeys<H: Host, V> {
    /// Calls each key with its values, which came by one of the step's streams.
    fn on_batch(
        &mut self,
        context: &Context<H>,
        scope: H::Scope<'_>,
        input: usize,
        pairs: Vec<(H::Key, V)>,
    ) -> Result<Emitted<H>, Failure<H>>;

    /// Notifies each key that is due; at the end, tells every key.
    fn on_time(
        &mut self,
        context: &Context<H>,
        scope: H::Scope<'_>,
        now: Micros,
        has_ended: bool,
    ) -> Result<Emitted<H>, Failure<H>>;

    /// Tells every key that this is the end, in whichever order, and forgets them all: for
    /// what nobody sees, and begins anew.
    fn end_all(
        &mut self,
        context: &Context<H>,
        scope: H::Scope<'_>,
    ) -> Result<Emitted<H>, Failure<H>>;

    /// How many keys there are.
    fn count(&self) -> u64;

    /// How many values came too late so far, in a step that goes by time.
    fn late(&self) -> Option<u64>;

    /// Whether there are keys that have not been asked yet when to notify them.
    fn is_unsettled(&self) -> bool;

    /// Asks those keys.
    fn settle(&mut self, context: &Context<H>, scope: H::Scope<'_>) -> Result<(), Failure<H>>;

    /// The watermark of the whole stream is there by the end of the next batch.
    fn advance(&mut self, watermark: i64);

    /// When the first key is to be notified, as far as they have been asked.
    fn next_due(&self) -> Option<Micros>;

    /// Notes from now on which keys change.
    fn note_changes(&mut self);

    /// What became of the keys that have changed since this was last asked.
    fn changes(&mut self, scope: H::Scope<'_>) -> Result<Vec<Change>, Failure<H>>;

    /// A key that there was before.
    fn resume(
        &mut self,
        context: &Context<H>,
        scope: H::Scope<'_>,
        key: H::Key,
        saved: &Saved,
    ) -> Result<(), Failure<H>>;
}

/// No place in a batch, and no slot.
const NONE: u32 = u32::MAX;

/// One key: what every call needs.
struct Slot<H: Host, S> {
    key: H::Key,
    /// The first and the last place of its values in the batch at hand.
    first: u32,
    last: u32,
    /// None before the first call.
    state: Option<S>,
    /// Whether it is among the keys that have changed.
    has_changed: bool,
}

/// What is known of the timer of a key.
#[derive(Clone, Copy, Default)]
struct Alarm {
    /// When it is to be notified.
    due: Option<Micros>,
    /// The moment that its last call was a notification for.
    notified: Option<Micros>,
    is_unsettled: bool,
}

/// All keys of one worker, and the logic of their step.
pub(crate) struct Keys<H: Host, V, L: KeyedLogic<H, V>> {
    logic: L,
    slots: Vec<Option<Slot<H, L::State>>>,
    /// For each slot, its key's place in the order of all keys that have one; a newer key
    /// has none yet.
    ranks: Vec<Option<u32>>,
    /// For each slot, its key's timer; nothing in a step without timers.
    alarms: Vec<Alarm>,
    /// Slots that are empty.
    free: Vec<u32>,
    /// Finds the slot of a key.
    index: HashTable<u32>,
    /// How many keys were sorted by text, for want of ranks, since keys were ranked.
    sorted_by_text: usize,
    timers: Timers,
    /// Keys to be asked when to notify them.
    unsettled: Vec<u32>,
    /// What has changed; none if nobody wants to know.
    changes: Option<Changes>,
    /// How far event time has come, if that is what keys are notified by.
    watermark: Option<i64>,
    buffers: Buffers<H, V>,
}

/// What is used again for each batch.
struct Buffers<H: Host, V> {
    /// The values of the batch at hand, in the order of arrival.
    items: Vec<Option<V>>,
    /// For each of them, the place of the next value of the same key.
    next: Vec<u32>,
    /// The keys of the batch at hand, each once.
    called: Vec<u32>,
    /// The values of the key that is being called.
    values: Vec<V>,
    /// What the key that is being called emits.
    emit: Emit<H>,
}

/// Why a key is called.
#[derive(Clone, Copy)]
enum Event {
    /// Its values, which are in the buffer for them, have arrived.
    Values,
    /// The moment that it named has come.
    Due,
    /// There are no more items.
    End,
}

impl<H: Host, V, L: KeyedLogic<H, V>> Keys<H, V, L> {
    pub(crate) fn new(logic: L) -> Self {
        Self {
            logic,
            slots: Vec::new(),
            ranks: Vec::new(),
            alarms: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            sorted_by_text: 0,
            timers: Timers::default(),
            unsettled: Vec::new(),
            changes: None,
            watermark: None,
            buffers: Buffers {
                items: Vec::new(),
                next: Vec::new(),
                called: Vec::new(),
                values: Vec::new(),
                emit: Emit::new(),
            },
        }
    }

    /// Calls a key, collects what it emits, and lets go of it if it is done;
    /// otherwise asks when it wants to be notified.
    fn call(
        &mut self,
        context: &Context<H>,
        scope: H::Scope<'_>,
        number: u32,
        emitting: &mut Emitting<H>,
        event: Event,
    ) -> Result<(), Failure<H>> {
        if context.is_halted() {
            return Ok(());
        }
        let Some(slot) = self.slots[number as usize].as_mut() else {
            return Ok(());
        };
        let asking = self.logic.asking();
        if asking != Asking::Never {
            let alarm = &mut self.alarms[number as usize];
            match event {
                Event::Values => alarm.notified = None,
                Event::Due => alarm.notified = alarm.due.take(),
                Event::End => {}
            }
        }
        let fate = tell(&mut self.logic, scope, slot, event, &mut self.buffers)
            .map_err(|failure| failure.with_key(slot.key.as_str()))?;
        if let Some(changes) = &mut self.changes
            && !std::mem::replace(&mut slot.has_changed, true)
        {
            changes.called.push(number);
        }
        let rank = || self.ranks[number as usize];
        emitting.take(scope, &slot.key, rank, &mut self.buffers.emit);
        match (fate, asking) {
            (Fate::Discard, _) => self.remove(number),
            (Fate::Retain, Asking::Never) => {}
            (Fate::Retain, Asking::AtOnce) => self.ask(context, scope, number)?,
            (Fate::Retain, Asking::Later) => {
                let alarm = &mut self.alarms[number as usize];
                if !alarm.is_unsettled {
                    alarm.is_unsettled = true;
                    self.unsettled.push(number);
                }
            }
        }
        Ok(())
    }

    /// Asks a key when it wants to be notified.
    ///
    /// A key that was just notified for a moment, and asks for one that is no later, would
    /// keep the worker busy for nothing: it is notified again after a pause only.
    fn ask(
        &mut self,
        context: &Context<H>,
        scope: H::Scope<'_>,
        number: u32,
    ) -> Result<(), Failure<H>> {
        let Some(slot) = self.slots[number as usize].as_mut() else {
            return Ok(());
        };
        let alarm = &mut self.alarms[number as usize];
        alarm.is_unsettled = false;
        let Some(state) = &mut slot.state else {
            return Ok(());
        };
        let now = self.watermark.map(Micros);
        let now = now.unwrap_or_else(|| context.shared.clock.wall());
        let at = self
            .logic
            .notify_at(scope, state)
            .map_err(|failure| failure.with_key(slot.key.as_str()))?
            .map(|at| match alarm.notified {
                Some(notified) if at <= notified => now.after(PAUSE),
                _ => at,
            });
        self.timers.set(number, alarm.due, at);
        alarm.due = at;
        Ok(())
    }

    /// Ranks all keys anew once as many keys were sorted without ranks as there are: so it
    /// costs no more than they did, and if keys are seen again, most comparisons are of
    /// numbers.
    fn note_sorted(&mut self, sorted: Sorted, count: usize) {
        if sorted == Sorted::ByRank {
            return;
        }
        self.sorted_by_text += count;
        if self.sorted_by_text < self.slots.len() {
            return;
        }
        for (rank, number) in (0..).zip(self.in_order()) {
            self.ranks[number as usize] = Some(rank);
        }
        self.sorted_by_text = 0;
    }

    /// All keys, in the order of their text.
    fn in_order(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..index_of(self.slots.len()))
            .filter(|&number| self.slots[number as usize].is_some())
            .collect();
        self.sort(&mut numbers);
        numbers
    }

    fn sort(&self, numbers: &mut [u32]) -> Sorted {
        let slot = |number: u32| self.slots[number as usize].as_ref();
        sort(
            numbers,
            |number| self.ranks[number as usize],
            |number| slot(number).map_or("", |slot| slot.key.as_str()),
        )
    }

    #[inline]
    fn find_or_insert(&mut self, key: H::Key) -> u32 {
        let slots = &self.slots;
        let hash = key.stable_hash();
        let is_same = |&number: &u32| {
            slots[number as usize]
                .as_ref()
                .is_some_and(|slot| slot.key.is_same(&key))
        };
        if let Some(&number) = self.index.find(hash, is_same) {
            return number;
        }
        self.insert(hash, key)
    }

    fn insert(&mut self, hash: u64, key: H::Key) -> u32 {
        let slot = Some(Slot {
            key,
            first: NONE,
            last: NONE,
            state: None,
            has_changed: false,
        });
        let number = if let Some(number) = self.free.pop() {
            self.slots[number as usize] = slot;
            self.ranks[number as usize] = None;
            number
        } else {
            self.slots.push(slot);
            self.ranks.push(None);
            if self.logic.asking() != Asking::Never {
                self.alarms.push(Alarm::default());
            }
            index_of(self.slots.len() - 1)
        };
        let slots = &self.slots;
        self.index.insert_unique(hash, number, |&number| {
            slots[number as usize]
                .as_ref()
                .map_or(0, |slot| slot.key.stable_hash())
        });
        number
    }

    fn remove(&mut self, number: u32) {
        let Some(slot) = self.slots[number as usize].take() else {
            return;
        };
        if let Some(changes) = &mut self.changes {
            changes.gone.push(slot.key.as_str().to_owned());
        }
        if let Some(alarm) = self.alarms.get_mut(number as usize) {
            self.timers.set(number, alarm.due, None);
            *alarm = Alarm::default();
        }
        let hash = slot.key.stable_hash();
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == number) {
            entry.remove();
        }
        self.free.push(number);
    }
}

impl<H: Host, V, L: KeyedLogic<H, V>> AnyKeys<H, V> for Keys<H, V, L> {
    fn on_batch(
        &mut self,
        context: &Context<H>,
        scope: H::Scope<'_>,
        input: usize,
        pairs: Vec<(H::Key, V)>,
    ) -> Result<Emitted<H>, Failure<H>> {
        self.logic.begin_batch(input);
        let mut emitting = Emitting::new(self.logic.is_called_in_order(), pairs.len());
        self.chain(pairs);
        let mut called = std::mem::take(&mut self.buffers.called);
        if self.logic.is_called_in_order() {
            let sorted = self.sort(&mut called);
            self.note_sorted(sorted, called.len());
        }
        for number in called.drain(..) {
            self.gather_values(number);
            self.call(context, scope, number, &mut emitting, Event::Values)?;
            self.buffers.values.clear();
        }
        self.buffers.called = called;
        self.buffers.items.clear();
        self.buffers.next.clear();
        let (emitted, sorted, count) = emitting.finish();
        self.note_sorted(sorted, count);
        self.compact();
        Ok(emitted)
    }

    fn on_time(
        &mut self,
        context: &Context<H>,
        scope: H::Scope<'_>,
        now: Micros,
        has_ended: bool,
    ) -> Result<Emitted<H>, Failure<H>> {
        let mut emitting = Emitting::new(true, 0);
        let mut due = self.timers.take_due(now);
        self.sort(&mut due);
        for number in due {
            self.call(context, scope, number, &mut emitting, Event::Due)?;
        }
        if has_ended {
            for number in self.in_order() {
                self.call(context, scope, number, &mut emitting, Event::End)?;
            }
        }
        self.compact();
        Ok(emitting.finish().0)
    }

    fn end_all(
        &mut self,
        context: &Context<H>,
        scope: H::Scope<'_>,
    ) -> Result<Emitted<H>, Failure<H>> {
        debug_assert!(
            self.changes.is_none(),
            "what is forgotten here is kept elsewhere"
        );
        let mut emitting = Emitting::new(true, self.index.len());
        // First, so that no number is left of a slot that is gone, whatever fails.
        self.index.clear();
        self.ranks.clear();
        self.alarms.clear();
        self.free.clear();
        self.unsettled.clear();
        self.timers = Timers::default();
        self.sorted_by_text = 0;
        for mut slot in self.slots.drain(..).flatten() {
            if context.is_halted() {
                break;
            }
            let (logic, buffers) = (&mut self.logic, &mut self.buffers);
            tell(logic, scope, &mut slot, Event::End, buffers)
                .map_err(|failure| failure.with_key(slot.key.as_str()))?;
            emitting.take_last(scope, slot.key, &mut buffers.emit);
        }
        Ok(emitting.finish().0)
    }

    fn count(&self) -> u64 {
        self.index.len() as u64
    }

    fn late(&self) -> Option<u64> {
        self.logic.late()
    }

    fn is_unsettled(&self) -> bool {
        !self.unsettled.is_empty()
    }

    fn settle(&mut self, context: &Context<H>, scope: H::Scope<'_>) -> Result<(), Failure<H>> {
        let mut unsettled = std::mem::take(&mut self.unsettled);
        for number in unsettled.drain(..) {
            self.ask(context, scope, number)?;
        }
        self.unsettled = unsettled;
        Ok(())
    }

    fn advance(&mut self, watermark: i64) {
        self.watermark = Some(watermark);
        self.logic.advance(watermark);
    }

    fn next_due(&self) -> Option<Micros> {
        self.timers.next()
    }

    fn note_changes(&mut self) {
        self.changes = Some(Changes::default());
    }

    fn changes(&mut self, scope: H::Scope<'_>) -> Result<Vec<Change>, Failure<H>> {
        let Some(changes) = &mut self.changes else {
            return Ok(Vec::new());
        };
        // One that is gone may have come again: what was said last counts.
        let mut all: Vec<Change> = changes.gone.drain(..).map(|key| (key, None)).collect();
        for number in changes.called.drain(..) {
            let Some(slot) = &mut self.slots[number as usize] else {
                continue;
            };
            // The slot may be another key's by now, which is there itself then.
            if !std::mem::take(&mut slot.has_changed) {
                continue;
            }
            let Some(state) = &mut slot.state else {
                continue;
            };
            let saved = self
                .logic
                .snapshot(scope, state)
                .map_err(|failure| failure.with_key(slot.key.as_str()))?;
            all.push((slot.key.as_str().to_owned(), Some(saved)));
        }
        Ok(all)
    }

    fn resume(
        &mut self,
        context: &Context<H>,
        scope: H::Scope<'_>,
        key: H::Key,
        saved: &Saved,
    ) -> Result<(), Failure<H>> {
        let state = self
            .logic
            .resume(scope, &key, saved)
            .map_err(|failure| failure.with_key(key.as_str()))?;
        let number = self.find_or_insert(key);
        if let Some(slot) = &mut self.slots[number as usize] {
            slot.state = Some(state);
        }
        if self.logic.asking() == Asking::Never {
            return Ok(());
        }
        self.ask(context, scope, number)
    }
}

/// Calls the logic for one key.
#[inline]
fn tell<H: Host, V, L: KeyedLogic<H, V>>(
    logic: &mut L,
    scope: H::Scope<'_>,
    slot: &mut Slot<H, L::State>,
    event: Event,
    buffers: &mut Buffers<H, V>,
) -> Result<Fate, Failure<H>> {
    let emit = &mut buffers.emit;
    match (event, &mut slot.state) {
        (Event::Values, state) => {
            let state = match state {
                Some(state) => state,
                None => state.insert(logic.build(scope, &slot.key)?),
            };
            logic.on_batch(scope, state, &mut buffers.values, emit)
        }
        (Event::Due, Some(state)) => logic.on_notify(scope, state, emit),
        (Event::End, Some(state)) => logic.on_eof(scope, state, emit),
        (Event::Due | Event::End, None) => Ok(Fate::Discard),
    }
}

/// The number of a slot, or of a place in a batch.
#[expect(
    clippy::cast_possible_truncation,
    reason = "four billion keys, or items in a batch, are more than memory holds"
)]
fn index_of(length: usize) -> u32 {
    length as u32
}
