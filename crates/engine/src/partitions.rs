//! Which worker reads or writes which partition.

use std::collections::BTreeSet;

/// A named partition and the worker that owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The name of the partition.
    pub part: String,
    /// The index of its worker.
    pub worker: usize,
}

/// Deals the partitions out, in the order of their names, to the workers in turn.
///
/// Every worker must come to the same result, so it depends on nothing else. A
/// name that is listed twice counts once.
pub fn assign(parts: Vec<String>, workers: usize) -> Vec<Assigned> {
    let parts: BTreeSet<String> = parts.into_iter().collect();
    parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| Assigned {
            part,
            worker: index % workers,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_dealt_out_evenly_by_name() {
        let parts = ["b", "a", "c", "a"].map(String::from).to_vec();
        let dealt: Vec<_> = assign(parts, 2)
            .into_iter()
            .map(|a| (a.part, a.worker))
            .collect();
        assert_eq!(
            dealt,
            [("a", 0), ("b", 1), ("c", 0)].map(|(part, worker)| (part.to_owned(), worker))
        );
    }
}
