//! Which worker reads or writes which partition.

use std::collections::{BTreeMap, BTreeSet};

/// A named partition and the worker that owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The name of the partition.
    pub part: String,
    /// The index of its worker.
    pub worker: usize,
}

/// Deals the partitions out, in the order of their names, to the workers in turn: first to one of
/// each process, then to another of each. A partition goes only to processes that have listed it.
///
/// `listed` has what each process can reach. Every process must come to the same result, so it
/// depends on nothing else. A name that is listed twice counts once.
pub fn assign(listed: &[Vec<String>], workers_each: usize) -> Vec<Assigned> {
    let mut holders: BTreeMap<&String, BTreeSet<usize>> = BTreeMap::new();
    for (process, parts) in listed.iter().enumerate() {
        for part in parts {
            holders.entry(part).or_default().insert(process);
        }
    }
    let dealt = holders.into_iter().enumerate();
    dealt
        .map(|(index, (part, processes))| {
            let turn = index % (processes.len() * workers_each);
            let process = processes.iter().nth(turn % processes.len());
            let first = process.map_or(0, |process| process * workers_each);
            Assigned {
                part: part.clone(),
                worker: first + turn / processes.len(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(of: &[&[&str]]) -> Vec<Vec<String>> {
        let own = |parts: &&[&str]| parts.iter().map(ToString::to_string).collect();
        of.iter().map(own).collect()
    }

    /// `a0 b1`: partition `a` goes to worker 0, `b` to worker 1.
    fn dealt(of: &[&[&str]], workers_each: usize) -> String {
        let assigned = assign(&listed(of), workers_each);
        let texts = assigned.iter().map(|a| format!("{}{}", a.part, a.worker));
        texts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn partitions_are_dealt_out_evenly_by_name() {
        assert_eq!(dealt(&[&["b", "a", "c", "a"]], 2), "a0 b1 c0");
    }

    #[test]
    fn every_process_gets_one_before_any_gets_a_second() {
        let all: &[&str] = &["a", "b", "c", "d", "e"];
        assert_eq!(dealt(&[all, all], 2), "a0 b2 c1 d3 e0");
    }

    #[test]
    fn partition_stays_where_it_can_be_reached() {
        assert_eq!(dealt(&[&["a", "b"], &["b", "c", "d"]], 1), "a0 b1 c1 d1");
    }
}
