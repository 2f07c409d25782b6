//! The order of keys: that of their text.
//!
//! Comparing texts means to look for each of them in memory. So keys that have been seen
//! for a while have a *rank*, their place among all keys, and keys without one are first
//! compared by their first eight bytes.

/// Whether keys could be sorted by their ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sorted {
    /// All had one, or there was nothing to sort.
    ByRank,
    /// Some had none.
    ByText,
}

/// Sorts keys, which are known here by number.
pub(super) fn sort<'a>(
    numbers: &mut [u32],
    rank: impl Fn(u32) -> Option<u32>,
    text: impl Fn(u32) -> &'a str,
) -> Sorted {
    if numbers.len() < 2 {
        return Sorted::ByRank;
    }
    let ranks = numbers.iter().map(|&number| Some((rank(number)?, number)));
    if let Some(mut ranks) = ranks.collect::<Option<Vec<_>>>() {
        ranks.sort_unstable();
        write(numbers, ranks);
        return Sorted::ByRank;
    }
    let mut prefixes: Vec<(u64, u32)> = numbers
        .iter()
        .map(|&number| (prefix(text(number)), number))
        .collect();
    prefixes.sort_unstable_by(|(left, one), (right, other)| {
        left.cmp(right).then_with(|| text(*one).cmp(text(*other)))
    });
    write(numbers, prefixes);
    Sorted::ByText
}

fn write<T>(numbers: &mut [u32], sorted: Vec<(T, u32)>) {
    for (place, (_, number)) in numbers.iter_mut().zip(sorted) {
        *place = number;
    }
}

/// The first eight bytes of a text, as a number with the same order.
fn prefix(text: &str) -> u64 {
    let mut bytes = [0; 8];
    let length = text.len().min(bytes.len());
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn prefixes_have_the_order_of_their_texts(left: String, right: String) {
            let by_text = left.as_bytes().cmp(right.as_bytes());
            let by_prefix = prefix(&left).cmp(&prefix(&right));
            prop_assert!(by_prefix.is_eq() || by_prefix == by_text);
        }

        #[test]
        fn with_and_without_ranks_the_order_is_that_of_the_text(
            texts in proptest::collection::btree_set("[a-c]{0,12}", 0..20),
            shuffled in Just((0..20_u32).collect::<Vec<_>>()).prop_shuffle(),
            ranked in 0..20_u32,
        ) {
            let texts: Vec<String> = texts.into_iter().collect();
            let mut numbers = shuffled;
            numbers.retain(|&number| (number as usize) < texts.len());
            let expected: Vec<u32> = (0..).take(texts.len()).collect();
            let text = |number: u32| texts[number as usize].as_str();
            let by_rank = sort(&mut numbers.clone(), Some, text);
            prop_assert_eq!(by_rank, Sorted::ByRank);
            sort(&mut numbers, |number| (number < ranked).then_some(number), text);
            prop_assert_eq!(numbers, expected);
        }
    }
}
