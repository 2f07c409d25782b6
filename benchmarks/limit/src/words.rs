//! W2: count words.

use hashbrown::HashMap;

use crate::sink::Sink;

/// Counts the words of lines.
pub fn run(lines: &[String], sink: &mut Sink) {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for line in lines {
        for word in line.split_ascii_whitespace() {
            *counts.entry_ref(word).or_default() += 1;
        }
    }
    for (word, count) in &counts {
        sink.take(format_args!("{word}\t{count}"));
    }
}
