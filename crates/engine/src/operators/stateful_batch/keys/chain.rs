//! The values of each key in a batch: found in the order of arrival, and gathered key by key.

use std::hint::black_box;

use crate::host::{Host, Key};
use crate::logic::KeyedLogic;
use crate::operators::stateful_batch::keys::{Keys, NONE, index_of};

/// How many keys are more than the cache holds.
const MANY: usize = 1 << 13;

impl<H: Host, V, L: KeyedLogic<H, V>> Keys<H, V, L> {
    /// Looks at where keys most likely are, before they are needed one by one: among many
    /// keys each is far from the cache, but what doesn't wait for each other comes together.
    fn look_ahead(&mut self, pairs: &[(H::Key, V)]) {
        if self.slots.len() < MANY {
            return;
        }
        let found = pairs.iter().map(|(key, _)| {
            let mut candidates = self.index.iter_hash(key.stable_hash());
            candidates.next().copied().unwrap_or_default()
        });
        self.buffers.called.extend(found);
        let slots = &self.slots;
        let looked_at = self.buffers.called.drain(..).map(|number| {
            let slot = slots[number as usize].as_ref();
            slot.map_or(NONE, |slot| slot.last)
        });
        // What nobody uses would not be loaded.
        black_box(looked_at.fold(0, u32::wrapping_add));
    }

    /// Sorts the values by key: finds for each key the chain of its values.
    pub(super) fn chain(&mut self, pairs: Vec<(H::Key, V)>) {
        self.look_ahead(&pairs);
        for (key, value) in pairs {
            let place = index_of(self.buffers.items.len());
            let number = self.find_or_insert(key);
            self.buffers.items.push(Some(value));
            self.buffers.next.push(NONE);
            let Some(slot) = &mut self.slots[number as usize] else {
                continue;
            };
            if slot.first == NONE {
                slot.first = place;
                self.buffers.called.push(number);
            } else {
                self.buffers.next[slot.last as usize] = place;
            }
            slot.last = place;
        }
    }

    /// Moves the values of a key to the buffer for them.
    pub(super) fn gather_values(&mut self, number: u32) {
        let Some(slot) = &mut self.slots[number as usize] else {
            return;
        };
        let mut place = std::mem::replace(&mut slot.first, NONE);
        while place != NONE {
            let buffers = &mut self.buffers;
            buffers.values.extend(buffers.items[place as usize].take());
            place = buffers.next[place as usize];
        }
    }
}
