//! What a join remembers of one key: the values of each side, and the rows they make.

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

/// The values that one key has on each side.
#[derive(Debug)]
pub struct Sides<V> {
    insert: Insert,
    values: Vec<Vec<V>>,
}

impl<V> Sides<V> {
    /// So many sides without a value.
    pub fn new(sides: usize, insert: Insert) -> Self {
        Self {
            insert,
            values: std::iter::repeat_with(Vec::new).take(sides).collect(),
        }
    }

    /// Takes a value in; a side that there isn't is ignored.
    pub fn insert(&mut self, side: usize, value: V) {
        let Some(values) = self.values.get_mut(side) else {
            return;
        };
        match self.insert {
            Insert::First if !values.is_empty() => {}
            Insert::First | Insert::Product => values.push(value),
            Insert::Last => {
                values.clear();
                values.push(value);
            }
        }
    }

    /// Whether each side has a value.
    pub fn is_complete(&self) -> bool {
        self.values.iter().all(|values| !values.is_empty())
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.values.iter_mut().for_each(Vec::clear);
    }

    /// Every combination of one value from each side, with nothing for a side that has
    /// none; the last side changes fastest.
    pub fn rows(&self) -> impl Iterator<Item = impl ExactSizeIterator<Item = Option<&V>>> {
        let count: usize = self
            .values
            .iter()
            .map(|values| values.len().max(1))
            .product();
        (0..count).map(move |row| {
            // The row number, read as digits: one for each side.
            let mut left = count;
            self.values.iter().map(move |values| {
                let choices = values.len().max(1);
                left /= choices;
                values.get(row / left % choices)
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
        let mut sides = Sides::new(3, insert);
        for (side, value) in [(0, 1), (0, 2), (2, 3), (2, 4)] {
            sides.insert(side, value);
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
        sides.insert(1, 9);
        assert!(sides.is_complete());
        sides.clear();
        assert_eq!(rows(&sides), [[None, None, None]]);
    }
}
