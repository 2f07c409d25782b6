//! Each core operator, on one, two and three workers.

use crate::integers::{Builder, Value, ints, pair};

const WORKERS: [usize; 3] = [1, 2, 3];

fn range(values: impl IntoIterator<Item = i64>) -> Vec<Value> {
    values.into_iter().map(Value::Int).collect()
}

#[test]
fn flat_map_batch_maps_to_any_number() {
    for workers in WORKERS {
        let mut flow = Builder::default();
        let numbers = flow.acts("in", ints(0..5));
        let repeated = flow.map("repeat", numbers, |items| {
            Ok(items
                .into_iter()
                .flat_map(|item| vec![item.clone(); usize::try_from(item.int()).unwrap()])
                .collect())
        });
        let out = flow.collect("out", repeated);
        flow.run(workers).unwrap();
        assert_eq!(out.items(), range([1, 2, 2, 3, 3, 3, 4, 4, 4, 4]));
    }
}

#[test]
fn branch_sends_each_item_one_way() {
    for workers in WORKERS {
        let mut flow = Builder::default();
        let numbers = flow.acts("in", ints(0..6));
        let (even, odd) = flow.branch("is_even", numbers, |item| item.int() % 2 == 0);
        let (evens, odds) = (flow.collect("evens", even), flow.collect("odds", odd));
        flow.run(workers).unwrap();
        assert_eq!(evens.items(), range([0, 2, 4]));
        assert_eq!(odds.items(), range([1, 3, 5]));
    }
}

#[test]
fn merge_takes_turns() {
    let mut flow = Builder::default();
    let low = flow.acts("low", ints([1, 2, 3]));
    let high = flow.acts("high", ints([10, 20, 30]));
    let merged = flow.merge("merge", &[low, high]);
    let out = flow.collect("out", merged);
    flow.run(1).unwrap();
    assert_eq!(out.items(), range([1, 10, 2, 20, 3, 30]));
}

#[test]
fn stream_can_be_merged_with_itself() {
    for workers in WORKERS {
        let mut flow = Builder::default();
        let numbers = flow.acts("in", ints([1, 2]));
        let merged = flow.merge("merge", &[numbers, numbers]);
        let out = flow.collect("out", merged);
        flow.run(workers).unwrap();
        assert_eq!(out.sorted(), range([1, 1, 2, 2]));
    }
}

#[test]
fn redistribute_gives_every_worker_its_share() {
    for workers in WORKERS {
        let mut flow = Builder::default();
        let numbers = flow.acts("in", ints(0..60));
        let spread = flow.redistribute("spread", numbers);
        let out = flow.collect("out", spread);
        flow.run(workers).unwrap();
        assert_eq!(out.sorted(), range(0..60));
        for worker in 0..workers {
            let taken = out.0.lock().unwrap();
            let share = taken
                .iter()
                .filter(|(by, _)| *by == worker.to_string())
                .count();
            assert_eq!(share, 60 / workers, "worker {worker} of {workers}");
        }
    }
}

#[test]
fn inspect_debug_passes_everything_on() {
    for workers in WORKERS {
        let mut flow = Builder::default();
        let numbers = flow.acts("in", ints(0..3));
        let (passed, seen) = flow.inspect("look", numbers);
        let out = flow.collect("out", passed);
        flow.run(workers).unwrap();
        assert_eq!(out.items(), range(0..3));
        let seen = seen.lock().unwrap();
        let items: Vec<_> = seen.iter().map(|(item, _, _)| item.clone()).collect();
        assert_eq!(items, range(0..3));
    }
}

#[test]
fn partitioned_output_routes_by_key() {
    for workers in WORKERS {
        let mut flow = Builder::default();
        let words = flow.acts("in", ints(0..30));
        let keyed = flow.map("key", words, |items| {
            let key = |value: i64| "x".repeat(usize::try_from(value % 3).unwrap());
            Ok(items.iter().map(|i| pair(&key(i.int()), i.int())).collect())
        });
        let out = flow.collect_parts("out", keyed, vec!["c", "a", "b"]);
        flow.run(workers).unwrap();
        assert_eq!(out.sorted(), range(0..30));
        for (part, value) in out.0.lock().unwrap().iter() {
            let index = usize::try_from(value.int() % 3).unwrap();
            assert_eq!(*part, ["a", "b", "c"][index]);
        }
    }
}
