//! Where results go: they are counted, and written only to be compared.

use std::fmt::Arguments;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Takes results.
pub struct Sink {
    count: u64,
    output: Option<BufWriter<File>>,
    failure: Option<io::Error>,
}

impl Sink {
    /// A sink that writes to a file, if there is one.
    pub fn new(output: Option<&Path>) -> io::Result<Self> {
        let output = output.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Self {
            count: 0,
            output,
            failure: None,
        })
    }

    /// Takes a result; it becomes text only if it is written.
    #[inline]
    pub fn take(&mut self, result: Arguments<'_>) {
        self.count += 1;
        if let Some(output) = &mut self.output {
            if let Err(failure) = writeln!(output, "{result}") {
                self.failure = Some(failure);
            }
        } else {
            black_box(result);
        }
    }

    /// How many results there were.
    pub fn finish(mut self) -> io::Result<u64> {
        if let Some(mut output) = self.output.take() {
            output.flush()?;
        }
        self.failure.map_or(Ok(self.count), Err)
    }
}
