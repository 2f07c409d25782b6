//! Rows, read from lines whose fields are separated by tabs.

use std::error::Error;
use std::str::FromStr;

/// Something that happened to a key.
pub struct Event {
    /// Its key.
    pub key: String,
    /// When, in microseconds.
    pub time: i64,
    /// What was measured.
    pub value: f64,
}

/// A row of a side of a join.
pub struct Row {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: i64,
}

/// Integers.
pub fn numbers(text: &str) -> Result<Vec<i64>, Box<dyn Error>> {
    Ok(text.lines().map(str::parse).collect::<Result<_, _>>()?)
}

/// Lines of text.
pub fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// Pairs of sensor and reading.
pub fn readings(text: &str) -> Result<Vec<(String, f64)>, Box<dyn Error>> {
    text.lines()
        .map(|line| {
            let mut fields = line.split('\t');
            Ok((field(&mut fields, line)?, field(&mut fields, line)?))
        })
        .collect()
}

/// Events.
pub fn events(text: &str) -> Result<Vec<Event>, Box<dyn Error>> {
    text.lines()
        .map(|line| {
            let mut fields = line.split('\t');
            Ok(Event {
                key: field(&mut fields, line)?,
                time: field(&mut fields, line)?,
                value: field(&mut fields, line)?,
            })
        })
        .collect()
}

/// The left and the right side of a join: the first field says which.
pub fn sides(text: &str) -> Result<(Vec<Row>, Vec<Row>), Box<dyn Error>> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut fields = line.split('\t');
        let side: String = field(&mut fields, line)?;
        let row = Row {
            key: field(&mut fields, line)?,
            value: field(&mut fields, line)?,
        };
        if side == "left" {
            left.push(row);
        } else {
            right.push(row);
        }
    }
    Ok((left, right))
}

fn field<'a, T>(fields: &mut impl Iterator<Item = &'a str>, line: &str) -> Result<T, Box<dyn Error>>
where
    T: FromStr,
    T::Err: Error + 'static,
{
    let text = fields
        .next()
        .ok_or_else(|| format!("too few fields in `{line}`"))?;
    Ok(text.parse()?)
}
