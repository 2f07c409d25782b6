//! A crash between any two steps: what was committed is there, what wasn't is not.

use millstream_recovery::id::Epoch;
use tempfile::TempDir;

use crate::support::{
    begin, collect_all, copy, kept, new_store, open, pairs, path_of, states, write,
};

/// The store as a crash now would leave it.
fn crash(directory: &TempDir) -> TempDir {
    copy(directory.path())
}

#[test]
fn between_any_two_steps() {
    let directory = new_store(2);
    let mut images = vec![(crash(&directory), vec![])];
    let mut store = open(&directory);
    images.push((crash(&directory), vec![]));
    let execution = begin(&mut store, 1);
    images.push((crash(&directory), vec![]));
    write(&mut store, execution, vec![kept("a", 1, "a1")]);
    images.push((crash(&directory), vec![]));
    write(&mut store, execution, vec![kept("b", 1, "b1")]);
    images.push((crash(&directory), vec![]));
    store.commit(execution, Epoch(1)).unwrap();
    let first = pairs(&[("a", "a1"), ("b", "b1")]);
    images.push((crash(&directory), first.clone()));
    write(&mut store, execution, vec![kept("a", 2, "a2")]);
    images.push((crash(&directory), first.clone()));
    collect_all(&mut store, 1);
    images.push((crash(&directory), first));
    store.commit(execution, Epoch(2)).unwrap();
    let second = pairs(&[("a", "a2"), ("b", "b1")]);
    images.push((crash(&directory), second.clone()));
    collect_all(&mut store, 2);
    images.push((crash(&directory), second.clone()));
    store.close().unwrap();
    images.push((crash(&directory), second));

    for (image, expected) in images {
        assert_eq!(states(image.path()), expected);
        // Whatever came before, the next run works, and a crash of that one too.
        let mut store = open(&image);
        let path = path_of(store.reader().executions());
        store.sweep(&path).unwrap();
        let resume = store
            .reader()
            .committed()
            .map_or(1, |commit| commit.epoch.0 + 1);
        let execution = begin(&mut store, resume);
        write(&mut store, execution, vec![kept("c", resume, "c")]);
        store.commit(execution, Epoch(resume)).unwrap();
        let mut expected = expected;
        expected.push(("c".to_owned(), "c".to_owned()));
        assert_eq!(states(crash(&image).path()), expected);
    }
}
