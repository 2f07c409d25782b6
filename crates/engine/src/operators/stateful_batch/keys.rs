//! The keys of one worker: their logic, their timers, and the order in which they
//! are called.
//!
//! Within a batch, and among those that are due, keys are called in the order of
//! their text, so that results don't depend on hashing. Each key gets all values
//! that arrived together in one call.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::batch::Pairs;
use crate::clock::Micros;
use crate::host::{Failure, Host, Key};
use crate::logic::{Fate, KeyLogic, StatefulBatch};
use crate::operators::stateful_batch::timers::Timers;

/// One key.
struct Slot<H: Host> {
    key: H::Key,
    /// None before the first call, and after the key was discarded.
    logic: Option<Box<dyn KeyLogic<H>>>,
    /// Values that wait for the call.
    values: Vec<H::Item>,
    /// When it is to be notified.
    due: Option<Micros>,
    /// The moment that its last call was a notification for.
    notified: Option<Micros>,
}

/// All keys of one worker.
pub(super) struct Keys<H: Host> {
    builder: Arc<dyn StatefulBatch<H>>,
    slots: Vec<Option<Slot<H>>>,
    /// Slots that are empty.
    free: Vec<usize>,
    /// Finds the slot of a key.
    index: HashTable<usize>,
    timers: Timers,
}

impl<H: Host> Keys<H> {
    pub(super) fn new(builder: Arc<dyn StatefulBatch<H>>) -> Self {
        Self {
            builder,
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            timers: Timers::default(),
        }
    }

    /// When the first key is to be notified.
    pub(super) fn next_due(&self) -> Option<Micros> {
        self.timers.next()
    }

    /// Whether a key is to be notified by now.
    pub(super) fn is_due(&self, now: Micros) -> bool {
        self.next_due().is_some_and(|at| at <= now)
    }

    /// Calls each key with its values.
    pub(super) fn on_batch(
        &mut self,
        scope: H::Scope<'_>,
        pairs: Pairs<H>,
    ) -> Result<Pairs<H>, Failure<H>> {
        let mut emitted = Vec::with_capacity(pairs.len());
        let mut touched = Vec::new();
        for (key, value) in pairs {
            let number = self.find_or_insert(key);
            if let Some(slot) = self.slots[number].as_mut() {
                if slot.values.is_empty() {
                    touched.push(number);
                }
                slot.values.push(value);
            }
        }
        let builder = Arc::clone(&self.builder);
        self.call_each(scope, touched, &mut emitted, |slot, emit| {
            slot.notified = None;
            let values = std::mem::take(&mut slot.values);
            let logic = match &mut slot.logic {
                Some(logic) => logic,
                None => slot.logic.insert(builder.build(scope, &slot.key)?),
            };
            logic.on_batch(scope, values, emit)
        })?;
        Ok(emitted)
    }

    /// Notifies each key that is due; at the end, tells every key.
    pub(super) fn on_time(
        &mut self,
        scope: H::Scope<'_>,
        now: Micros,
        has_ended: bool,
    ) -> Result<Pairs<H>, Failure<H>> {
        let mut emitted = Vec::new();
        let due = self.timers.take_due(now);
        self.call_each(scope, due, &mut emitted, |slot, emit| {
            slot.notified = slot.due.take();
            match &mut slot.logic {
                Some(logic) => logic.on_notify(scope, emit),
                None => Ok(Fate::Discard),
            }
        })?;
        if has_ended {
            let all = (0..self.slots.len())
                .filter(|&number| self.slots[number].is_some())
                .collect();
            self.call_each(scope, all, &mut emitted, |slot, emit| {
                match &mut slot.logic {
                    Some(logic) => logic.on_eof(scope, emit),
                    None => Ok(Fate::Discard),
                }
            })?;
        }
        Ok(emitted)
    }

    /// Calls keys in order, collects what they emit, and lets go of those that are
    /// done; asks the others when they want to be notified.
    fn call_each(
        &mut self,
        scope: H::Scope<'_>,
        mut numbers: Vec<usize>,
        emitted: &mut Pairs<H>,
        mut call: impl FnMut(&mut Slot<H>, &mut Vec<H::Item>) -> Result<Fate, Failure<H>>,
    ) -> Result<(), Failure<H>> {
        let text = |number: &usize| self.slots[*number].as_ref().map(|slot| slot.key.as_str());
        numbers.sort_unstable_by(|left, right| text(left).cmp(&text(right)));
        let mut emit = Vec::new();
        for number in numbers {
            let Some(slot) = self.slots[number].as_mut() else {
                continue;
            };
            let fate =
                call(slot, &mut emit).map_err(|failure| failure.with_key(slot.key.as_str()))?;
            emitted.extend(
                emit.drain(..)
                    .map(|value| (H::clone_key(scope, &slot.key), value)),
            );
            match fate {
                Fate::Discard => self.remove(number),
                Fate::Retain => self.ask(scope, number)?,
            }
        }
        Ok(())
    }

    /// Asks a key when it wants to be notified.
    ///
    /// A key that was just notified for a moment and asks for one that is no later
    /// has had its turn: to notify it again and again would keep the worker busy
    /// for nothing. It may ask again after its next values.
    fn ask(&mut self, scope: H::Scope<'_>, number: usize) -> Result<(), Failure<H>> {
        let Some(slot) = self.slots[number].as_mut() else {
            return Ok(());
        };
        let Some(logic) = &mut slot.logic else {
            return Ok(());
        };
        let at = logic
            .notify_at(scope)
            .map_err(|failure| failure.with_key(slot.key.as_str()))?
            .filter(|at| slot.notified.is_none_or(|notified| *at > notified));
        self.timers.set(number, slot.due, at);
        slot.due = at;
        Ok(())
    }

    fn find_or_insert(&mut self, key: H::Key) -> usize {
        let slots = &self.slots;
        let hash = key.stable_hash();
        let is_same = |&number: &usize| {
            slots[number]
                .as_ref()
                .is_some_and(|slot| slot.key.as_str() == key.as_str())
        };
        if let Some(&number) = self.index.find(hash, is_same) {
            return number;
        }
        let slot = Some(Slot {
            key,
            logic: None,
            values: Vec::new(),
            due: None,
            notified: None,
        });
        let number = if let Some(number) = self.free.pop() {
            self.slots[number] = slot;
            number
        } else {
            self.slots.push(slot);
            self.slots.len() - 1
        };
        let slots = &self.slots;
        self.index
            .insert_unique(hash, number, |&number| hash_of(slots, number));
        number
    }

    fn remove(&mut self, number: usize) {
        let Some(slot) = self.slots[number].take() else {
            return;
        };
        self.timers.set(number, slot.due, None);
        let hash = slot.key.stable_hash();
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == number) {
            entry.remove();
        }
        self.free.push(number);
    }
}

fn hash_of<H: Host>(slots: &[Option<Slot<H>>], number: usize) -> u64 {
    slots[number]
        .as_ref()
        .map_or(0, |slot| slot.key.stable_hash())
}
