//! What a join remembers of one key: the values of each side, and the rows they make.

use smallvec::SmallVec;

/// What to do with a further value from the same side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insert {
    /// Keep the one that came first.
    First,
    /// Keep the one that came last.
    Last,
    /// Keep all of them.
    Product,
}

/// The values of one side. Most often there is one, which needs no memory of its own.
#[derive(Debug)]
enum Values<V> {
    None,
    One(V),
    // Boxed, since it is rare, and a side without it is two words.
    #[expect(clippy::box_collection, reason = "as said above")]
    Many(Box<Vec<V>>),
}

impl<V> Values<V> {
    fn as_slice(&self) -> &[V] {
        match self {
            Self::None => &[],
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }

    fn push(&mut self, value: V) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(value),
            Self::One(first) => Self::Many(Box::new(vec![first, value])),
            Self::Many(mut values) => {
                values.push(value);
                Self::Many(values)
            }
        };
    }
}

/// The values that one key has on each side.
#[derive(Debug)]
pub struct Sides<V> {
    /// Most joins have two sides.
    values: SmallVec<[Values<V>; 2]>,
}

impl<V> Sides<V> {
    /// So many sides without a value.
    pub fn new(sides: usize) -> Self {
        Self {
            values: (0..sides).map(|_| Values::None).collect(),
        }
    }

    /// Takes a value in; a side that there isn't is ignored.
    pub fn insert(&mut self, insert: Insert, side: usize, value: V) {
        let Some(values) = self.values.get_mut(side) else {
            return;
        };
        match (insert, &values) {
            (Insert::Product, _) => values.push(value),
            (Insert::First, Values::One(_) | Values::Many(_)) => {}
            (Insert::First | Insert::Last, _) => *values = Values::One(value),
        }
    }

    /// The values of each side.
    pub fn sides(&self) -> impl Iterator<Item = &[V]> {
        self.values.iter().map(Values::as_slice)
    }

    /// Whether each side has a value.
    pub fn is_complete(&self) -> bool {
        self.values
            .iter()
            .all(|values| !values.as_slice().is_empty())
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        for values in &mut self.values {
            *values = Values::None;
        }
    }

    /// Every combination of one value from each side, with nothing for a side that has
    /// none; the last side changes fastest.
    pub fn rows(&self) -> impl Iterator<Item = impl ExactSizeIterator<Item = Option<&V>>> {
        let choices = |values: &Values<V>| values.as_slice().len().max(1);
        let count: usize = self.values.iter().map(choices).product();
        (0..count).map(move |row| {
            // The row number, read as digits: one for each side.
            let mut left = count;
            self.values.iter().map(move |values| {
                let choices = choices(values);
                left /= choices;
                values.as_slice().get(row / left % choices)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(sides: &Sides<i32>) -> Vec<Vec<Option<i32>>> {
        let rows = sides.rows();
        rows.map(|row| row.map(Option::<&i32>::copied).collect())
            .collect()
    }

    fn filled(insert: Insert) -> Sides<i32> {
        let mut sides = Sides::new(3);
        for (side, value) in [(0, 1), (0, 2), (2, 3), (2, 4)] {
            sides.insert(insert, side, value);
        }
        sides
    }

    #[test]
    fn product_makes_every_combination() {
        let sides = filled(Insert::Product);
        assert!(!sides.is_complete());
        assert_eq!(
            rows(&sides),
            [
                [Some(1), None, Some(3)],
                [Some(1), None, Some(4)],
                [Some(2), None, Some(3)],
                [Some(2), None, Some(4)],
            ]
        );
    }

    #[test]
    fn first_and_last_keep_one() {
        assert_eq!(rows(&filled(Insert::First)), [[Some(1), None, Some(3)]]);
        assert_eq!(rows(&filled(Insert::Last)), [[Some(2), None, Some(4)]]);
    }

    #[test]
    fn cleared_sides_are_empty() {
        let mut sides = filled(Insert::Last);
        sides.insert(Insert::Last, 1, 9);
        assert!(sides.is_complete());
        sides.clear();
        assert_eq!(rows(&sides), [[None, None, None]]);
    }
}
