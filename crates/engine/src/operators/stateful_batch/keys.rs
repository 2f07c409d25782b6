//! The keys of one worker: their logic, their timers, and the order in which they
//! are called.
//!
//! Within a batch, and among those that are due, keys are called in the order of
//! their text, so that results don't depend on hashing. Each key gets all values
//! that arrived together in one call.

use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;

use crate::batch::Pairs;
use crate::clock::Micros;
use crate::context::Context;
use crate::host::{Failure, Host, Key};
use crate::logic::{Emit, Fate, KeyBuilder, KeyLogic, PORTS, StatefulBatch};
use crate::operators::stateful_batch::timers::Timers;

/// How long a key waits that asks for the moment that it was just notified for.
const PAUSE: Duration = Duration::from_secs(1);

/// What keys have emitted, output by output.
pub(super) type Emitted<H> = [Pairs<H>; PORTS];

/// One key.
struct Slot<H: Host> {
    key: H::Key,
    /// Its place in the order of all keys that have one; a newer key has none yet.
    rank: Option<u32>,
    /// None before the first call, and after the key was discarded.
    logic: Option<Box<dyn KeyLogic<H>>>,
    /// When it is to be notified.
    due: Option<Micros>,
    /// The moment that its last call was a notification for.
    notified: Option<Micros>,
}

/// All keys of one worker.
pub(super) struct Keys<H: Host> {
    context: Context<H>,
    builder: Rc<dyn KeyBuilder<H>>,
    is_order_seen: bool,
    slots: Vec<Option<Slot<H>>>,
    /// Slots that are empty.
    free: Vec<usize>,
    /// Finds the slot of a key.
    index: HashTable<usize>,
    /// How many places were sorted by text, for want of ranks, since keys were ranked.
    sorted_by_text: usize,
    timers: Timers,
    /// The values of the key that is being called.
    values: Vec<H::Item>,
    /// What the key that is being called emits.
    emit: Emit<H>,
}

impl<H: Host> Keys<H> {
    pub(super) fn new(
        context: Context<H>,
        step: &Arc<dyn StatefulBatch<H>>,
        wanted: &[bool],
    ) -> Self {
        Self {
            context,
            builder: step.start(wanted).into(),
            is_order_seen: step.is_order_seen(),
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            sorted_by_text: 0,
            timers: Timers::default(),
            values: Vec::new(),
            emit: Emit::new(),
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
    ) -> Result<Emitted<H>, Failure<H>> {
        let mut emitted: Emitted<H> = std::array::from_fn(|_| Vec::new());
        emitted[0].reserve(pairs.len());
        let prefixes: Vec<u64> = if self.is_order_seen {
            pairs.iter().map(|(key, _)| prefix(key.as_str())).collect()
        } else {
            Vec::new()
        };
        let (numbers, mut items): (Vec<usize>, Vec<Option<H::Item>>) = pairs
            .into_iter()
            .map(|(key, value)| (self.find_or_insert(key), Some(value)))
            .unzip();
        let builder = Rc::clone(&self.builder);
        let mut values = std::mem::take(&mut self.values);
        let mut places = self
            .places_in_order(&numbers, &prefixes)
            .into_iter()
            .peekable();
        while let Some(place) = places.next() {
            let number = numbers[place];
            values.extend(items[place].take());
            while let Some(more) = places.next_if(|&next| numbers[next] == number) {
                values.extend(items[more].take());
            }
            self.call(scope, number, &mut emitted, |slot, emit| {
                slot.notified = None;
                let logic = match &mut slot.logic {
                    Some(logic) => logic,
                    None => slot.logic.insert(builder.build(scope, &slot.key)?),
                };
                logic.on_batch(scope, &mut values, emit)
            })?;
            values.clear();
        }
        self.values = values;
        Ok(emitted)
    }

    /// The places of a batch in the order in which they are to be processed: by key,
    /// and for each key as they arrived.
    fn places_in_order(&mut self, numbers: &[usize], prefixes: &[u64]) -> Vec<usize> {
        let mut places: Vec<usize> = (0..numbers.len()).collect();
        if !self.is_order_seen {
            return places;
        }
        let ranks: Option<Vec<u32>> = numbers.iter().map(|&number| self.rank(number)).collect();
        if let Some(ranks) = ranks {
            places.sort_unstable_by_key(|&place| (ranks[place], place));
        } else {
            // Stable, so that the values of a key stay in order.
            places.sort_by(|&left, &right| {
                let by_prefix = prefixes[left].cmp(&prefixes[right]);
                by_prefix.then_with(|| self.compare(numbers[left], numbers[right]))
            });
            self.sorted_by_text += places.len();
            if self.sorted_by_text >= self.index.len() {
                self.rank_all();
            }
        }
        places
    }

    fn rank(&self, number: usize) -> Option<u32> {
        self.slots[number].as_ref()?.rank
    }

    /// Notifies each key that is due; at the end, tells every key.
    pub(super) fn on_time(
        &mut self,
        scope: H::Scope<'_>,
        now: Micros,
        has_ended: bool,
    ) -> Result<Emitted<H>, Failure<H>> {
        let mut emitted = std::array::from_fn(|_| Vec::new());
        let mut due = self.timers.take_due(now);
        due.sort_unstable_by(|left, right| self.compare(*left, *right));
        for number in due {
            self.call(scope, number, &mut emitted, |slot, emit| {
                slot.notified = slot.due.take();
                match &mut slot.logic {
                    Some(logic) => logic.on_notify(scope, emit),
                    None => Ok(Fate::Discard),
                }
            })?;
        }
        if has_ended {
            for number in self.in_order() {
                self.call(scope, number, &mut emitted, |slot, emit| {
                    match &mut slot.logic {
                        Some(logic) => logic.on_eof(scope, emit),
                        None => Ok(Fate::Discard),
                    }
                })?;
            }
        }
        Ok(emitted)
    }

    /// Calls a key, collects what it emits, and lets go of it if it is done;
    /// otherwise asks when it wants to be notified.
    fn call(
        &mut self,
        scope: H::Scope<'_>,
        number: usize,
        emitted: &mut Emitted<H>,
        call: impl FnOnce(&mut Slot<H>, &mut Emit<H>) -> Result<Fate, Failure<H>>,
    ) -> Result<(), Failure<H>> {
        if self.context.is_halted() {
            return Ok(());
        }
        let Some(slot) = self.slots[number].as_mut() else {
            return Ok(());
        };
        let mut emit = std::mem::replace(&mut self.emit, Emit::new());
        let fate = call(slot, &mut emit).map_err(|failure| failure.with_key(slot.key.as_str()))?;
        for (emitted, made) in emitted.iter_mut().zip(&mut emit.ports) {
            emitted.extend(
                made.drain(..)
                    .map(|value| (H::clone_key(scope, &slot.key), value)),
            );
        }
        self.emit = emit;
        match fate {
            Fate::Discard => self.remove(number),
            Fate::Retain => self.ask(scope, number)?,
        }
        Ok(())
    }

    /// Asks a key when it wants to be notified.
    ///
    /// A key that was just notified for a moment, and asks for one that is no later, would
    /// keep the worker busy for nothing: it is notified again after a pause only.
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
            .map(|at| match slot.notified {
                Some(notified) if at <= notified => self.context.shared.clock.wall().after(PAUSE),
                _ => at,
            });
        self.timers.set(number, slot.due, at);
        slot.due = at;
        Ok(())
    }

    /// Compares two keys by their text, which their ranks stand for.
    fn compare(&self, left: usize, right: usize) -> Ordering {
        if left == right {
            return Ordering::Equal;
        }
        let (Some(left), Some(right)) = (&self.slots[left], &self.slots[right]) else {
            return left.cmp(&right);
        };
        match (left.rank, right.rank) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => left.key.as_str().cmp(right.key.as_str()),
        }
    }

    /// All keys, in the order of their text.
    fn in_order(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..self.slots.len())
            .filter(|&number| self.slots[number].is_some())
            .collect();
        numbers.sort_unstable_by(|left, right| self.compare(*left, *right));
        numbers
    }

    /// Ranks all keys anew. Done when as many places were sorted without ranks as there
    /// are keys, so it costs no more than they did, and if keys are seen again, most
    /// comparisons are of numbers.
    fn rank_all(&mut self) {
        for (rank, number) in self.in_order().into_iter().enumerate() {
            if let Some(slot) = self.slots[number].as_mut() {
                slot.rank = u32::try_from(rank).ok();
            }
        }
        self.sorted_by_text = 0;
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
            rank: None,
            logic: None,
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

/// The first eight bytes of a text, as a number with the same order.
fn prefix(text: &str) -> u64 {
    let mut bytes = [0; 8];
    let length = text.len().min(bytes.len());
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u64::from_be_bytes(bytes)
}

fn hash_of<H: Host>(slots: &[Option<Slot<H>>], number: usize) -> u64 {
    slots[number]
        .as_ref()
        .map_or(0, |slot| slot.key.stable_hash())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::prefix;

    proptest! {
        #[test]
        fn prefixes_have_the_order_of_their_texts(left: String, right: String) {
            let by_text = left.as_bytes().cmp(right.as_bytes());
            let by_prefix = prefix(&left).cmp(&prefix(&right));
            prop_assert!(by_prefix.is_eq() || by_prefix == by_text);
        }
    }
}
