//! Figures as Prometheus reads them: its text format, version 0.0.4.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

/// All figures of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The whole name; that of a counter ends in `_total`.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub help: &'static str,
    /// How to read it.
    pub kind: Kind,
    /// The figures. A family without any isn't shown.
    pub samples: Vec<Sample>,
}

/// How figures are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It is what it is just now.
    Gauge,
    /// How values are distributed.
    Histogram,
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What tells it from others of its family.
    pub labels: Vec<(&'static str, String)>,
    /// The figure.
    pub value: Value,
}

/// A number, or the numbers of a histogram.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a counter.
    Count(u64),
    /// Of a gauge.
    Number(f64),
    /// Of a histogram.
    Distribution(Distribution),
}

/// How values are distributed over ranges.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// The upper bounds of the ranges, each greater than the one before.
    pub bounds: Vec<f64>,
    /// How many values lie in each range, and behind the last.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: f64,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Writes figures down, and behind them those of somebody else, which are written down
/// already: without the families that have a name of these.
pub fn render(families: &[Family], others: &str) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        // Writing to a string can't fail.
        let _ = family.write(&mut text);
    }
    let taken: BTreeSet<&str> = families.iter().map(|family| family.name).collect();
    let mut is_taken = false;
    for line in others.lines() {
        if let Some(name) = family_of(line) {
            is_taken = taken.contains(name);
        }
        if !is_taken {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// The name of the family that a line is the head of.
fn family_of(line: &str) -> Option<&str> {
    let head = line
        .strip_prefix("# HELP ")
        .or_else(|| line.strip_prefix("# TYPE "))?;
    head.split_whitespace().next()
}

impl Family {
    fn write(&self, text: &mut String) -> fmt::Result {
        let name = self.name;
        writeln!(text, "# HELP {name} {}", escaped(self.help, false))?;
        writeln!(text, "# TYPE {name} {}", self.kind.name())?;
        for sample in &self.samples {
            match &sample.value {
                Value::Count(count) => sample.write(text, name, "", None, count)?,
                Value::Number(number) => sample.write(text, name, "", None, number)?,
                Value::Distribution(distribution) => {
                    sample.write_distribution(text, name, distribution)?;
                }
            }
        }
        Ok(())
    }
}

impl Sample {
    fn write_distribution(
        &self,
        text: &mut String,
        name: &str,
        distribution: &Distribution,
    ) -> fmt::Result {
        let mut total = 0;
        let bounds = distribution.bounds.iter().map(f64::to_string);
        let bounds = bounds.chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(&distribution.counts) {
            total += count;
            self.write(text, name, "_bucket", Some(&bound), total)?;
        }
        self.write(text, name, "_sum", None, distribution.sum)?;
        self.write(text, name, "_count", None, total)
    }

    /// Writes a line; `bound` is the upper bound of the range, if it is about one.
    fn write(
        &self,
        text: &mut String,
        name: &str,
        suffix: &str,
        bound: Option<&String>,
        value: impl fmt::Display,
    ) -> fmt::Result {
        let labels = self.labels.iter().map(|(label, value)| (*label, value));
        let labels = labels.chain(bound.map(|bound| ("le", bound)));
        let labels: Vec<String> = labels
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value, true)))
            .collect();
        let labels = match labels.as_slice() {
            [] => String::new(),
            some => format!("{{{}}}", some.join(",")),
        };
        writeln!(text, "{name}{suffix}{labels} {value}")
    }
}

fn escaped(text: &str, is_quoted: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if is_quoted {
        text.replace('"', "\\\"")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(name: &'static str, kind: Kind, value: Value) -> Family {
        let labels = vec![
            ("step_id", "flow.a".to_owned()),
            ("worker_index", "0".into()),
        ];
        Family {
            name,
            help: "What it is.",
            kind,
            samples: vec![Sample { labels, value }],
        }
    }

    #[test]
    fn counter_is_one_line_with_a_head() {
        let items = family("items_total", Kind::Counter, Value::Count(7));
        assert_eq!(
            render(&[items], ""),
            "# HELP items_total What it is.\n\
             # TYPE items_total counter\n\
             items_total{step_id=\"flow.a\",worker_index=\"0\"} 7\n"
        );
    }

    #[test]
    fn ranges_of_a_histogram_add_up() {
        let distribution = Distribution {
            bounds: vec![0.5, 2.0],
            counts: vec![3, 0, 1],
            sum: 4.25,
        };
        let mut durations = family("d", Kind::Histogram, Value::Distribution(distribution));
        durations.samples[0].labels.clear();
        let lines = render(&[durations], "");
        let lines: Vec<_> = lines.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "d_bucket{le=\"0.5\"} 3",
                "d_bucket{le=\"2\"} 3",
                "d_bucket{le=\"+Inf\"} 4",
                "d_sum 4.25",
                "d_count 4",
            ]
        );
    }

    #[test]
    fn labels_and_help_are_escaped() {
        let mut odd = family("odd", Kind::Gauge, Value::Number(1.5));
        odd.help = "a\\b\n\"c\"";
        odd.samples[0].labels = vec![("step_id", "a\\b\n\"c\"".to_owned())];
        assert_eq!(
            render(&[odd], ""),
            "# HELP odd a\\\\b\\n\"c\"\n# TYPE odd gauge\nodd{step_id=\"a\\\\b\\n\\\"c\\\"\"} 1.5\n"
        );
    }

    #[test]
    fn family_without_figures_is_not_shown() {
        let mut none = family("none", Kind::Gauge, Value::Number(0.0));
        none.samples.clear();
        assert_eq!(render(&[none], ""), "");
    }

    #[test]
    fn family_of_others_with_a_name_of_ours_is_left_out() {
        let ours = family("items_total", Kind::Counter, Value::Count(7));
        let own = render(std::slice::from_ref(&ours), "");
        let others = "# HELP items_total Mine.\n# TYPE items_total counter\nitems_total 1\n\
                      # HELP mine Mine.\n# TYPE mine gauge\nmine 2\n";
        let merged = render(&[ours], others);
        let rest = "# HELP mine Mine.\n# TYPE mine gauge\nmine 2\n";
        assert_eq!(merged, format!("{own}{rest}"));
    }
}
