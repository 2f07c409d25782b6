//! What travels between operators: many items at a time, in one of two forms.
//!
//! Rows are whole items. Keyed rows have their key beside them, already taken
//! out and hashed, so that routing and state need not look into the item. A
//! further form (columns) would be a further variant here.

use std::fmt;

use timely::Accountable;

use crate::host::{Failure, Host, Rows};
use crate::plan::StepId;
use crate::room::LEAST_WEIGHT;

/// Keys and values, side by side.
pub type Pairs<H> = Vec<(<H as Host>::Key, <H as Host>::Item)>;

/// Items that travel together.
pub enum Batch<H: Host> {
    /// Whole items.
    Rows(H::Rows),
    /// Items taken apart into key and value.
    Keyed(Pairs<H>),
}

impl<H: Host> Batch<H> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Keyed(pairs) => pairs.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whole items, one by one.
    pub fn of_items(scope: H::Scope<'_>, items: Vec<H::Item>) -> Self {
        Self::Rows(H::Rows::from_items(scope, items))
    }

    /// About how many bytes of memory they take, judging by the first.
    pub fn weight(&self, scope: H::Scope<'_>) -> usize {
        match self {
            Self::Rows(rows) => weight(rows.len(), rows.weigh_first(scope)),
            Self::Keyed(pairs) => {
                weight_of::<H>(scope, pairs.len(), pairs.first().map(|(_, value)| value))
            }
        }
    }

    /// The items as whole rows.
    pub fn into_rows(self, scope: H::Scope<'_>) -> H::Rows {
        match self {
            Self::Rows(rows) => rows,
            Self::Keyed(_) => H::Rows::from_items(scope, self.into_items(scope)),
        }
    }

    /// The items, whole and one by one.
    pub fn into_items(self, scope: H::Scope<'_>) -> Vec<H::Item> {
        match self {
            Self::Rows(rows) => rows.into_items(scope),
            Self::Keyed(pairs) => pairs
                .into_iter()
                .map(|(key, value)| H::join(scope, key, value))
                .collect(),
        }
    }

    /// The items as keys and values; fails on the first that isn't such a pair.
    pub fn into_keyed(self, scope: H::Scope<'_>, step: &StepId) -> Result<Pairs<H>, Failure<H>> {
        match self {
            Self::Rows(rows) => rows
                .into_items(scope)
                .into_iter()
                .map(|row| H::split(scope, step, row))
                .collect(),
            Self::Keyed(pairs) => Ok(pairs),
        }
    }

    /// Adds the items of another batch behind these.
    #[must_use]
    pub fn append(self, scope: H::Scope<'_>, other: Self) -> Self {
        match (self, other) {
            (Self::Keyed(mut pairs), Self::Keyed(more)) => {
                pairs.extend(more);
                Self::Keyed(pairs)
            }
            (first, more) => {
                let mut items = first.into_items(scope);
                items.extend(more.into_items(scope));
                Self::of_items(scope, items)
            }
        }
    }
}

/// About how many bytes of memory some items take, judging by the first.
pub(crate) fn weight_of<H: Host>(
    scope: H::Scope<'_>,
    count: usize,
    first: Option<&H::Item>,
) -> usize {
    weight(count, first.map(|first| H::weigh(scope, first)))
}

fn weight(count: usize, each: Option<usize>) -> usize {
    count.saturating_mul(each.unwrap_or(0).max(LEAST_WEIGHT))
}

impl<H: Host> Default for Batch<H> {
    fn default() -> Self {
        Self::Rows(H::Rows::default())
    }
}

/// A stream with several consumers gives each its own handles to the same items.
impl<H: Host> Clone for Batch<H> {
    fn clone(&self) -> Self {
        H::attach(|scope| match self {
            Self::Rows(rows) => Self::Rows(rows.share(scope)),
            Self::Keyed(pairs) => Self::Keyed(
                pairs
                    .iter()
                    .map(|(key, value)| (H::clone_key(scope, key), H::clone_item(scope, value)))
                    .collect(),
            ),
        })
    }
}

impl<H: Host> Accountable for Batch<H> {
    fn record_count(&self) -> i64 {
        i64::try_from(self.len()).unwrap_or(i64::MAX)
    }
}

impl<H: Host> fmt::Debug for Batch<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self {
            Self::Rows(_) => "Rows",
            Self::Keyed(_) => "Keyed",
        };
        f.debug_tuple(form).field(&self.len()).finish()
    }
}
