//! Giving up the slots of keys that are gone.

use hashbrown::HashTable;

use crate::host::{Host, Key};
use crate::logic::KeyedLogic;
use crate::operators::stateful_batch::keys::{Keys, NONE, Slot};
use crate::operators::stateful_batch::timers::Timers;

/// So many slots are kept, however few keys there are.
const FEW_SLOTS: usize = 1_024;

impl<H: Host, V, L: KeyedLogic<H, V>> Keys<H, V, L> {
    /// Gives up the slots of keys that are gone, once most are empty: after a peak, neither
    /// memory nor time is spent on them. Between calls only, as slots get new numbers.
    pub(super) fn compact(&mut self) {
        let live = self.slots.len() - self.free.len();
        if self.slots.len() < FEW_SLOTS || live > self.slots.len() / 4 {
            return;
        }
        let mut numbers = vec![NONE; self.slots.len()];
        let mut kept = 0;
        for (number, slot) in self.slots.iter().enumerate() {
            if slot.is_some() {
                numbers[number] = kept;
                kept += 1;
            }
        }
        let is_kept = |number: usize| numbers[number] != NONE;
        self.ranks = keep(&self.ranks, is_kept);
        self.alarms = keep(&self.alarms, is_kept);
        self.slots.retain(Option::is_some);
        self.slots.shrink_to_fit();
        self.free = Vec::new();
        let renumber = |number: &mut u32| {
            *number = numbers[*number as usize];
            *number != NONE
        };
        self.unsettled.retain_mut(renumber);
        if let Some(changes) = &mut self.changes {
            changes.called.retain_mut(renumber);
        }
        self.timers = Timers::default();
        for (number, alarm) in (0..).zip(&self.alarms) {
            self.timers.set(number, None, alarm.due);
        }
        let slots = &self.slots;
        let hash = |&number: &u32| {
            let slot: Option<&Slot<H, L::State>> = slots[number as usize].as_ref();
            slot.map_or(0, |slot| slot.key.stable_hash())
        };
        self.index = HashTable::with_capacity(slots.len());
        for number in 0..kept {
            self.index.insert_unique(hash(&number), number, hash);
        }
    }
}

/// Those of some things, one for each slot, whose slot is kept; nothing if there are none.
fn keep<T: Copy>(things: &[T], is_kept: impl Fn(usize) -> bool) -> Vec<T> {
    let things = things.iter().enumerate();
    things
        .filter(|(number, _)| is_kept(*number))
        .map(|(_, thing)| *thing)
        .collect()
}
