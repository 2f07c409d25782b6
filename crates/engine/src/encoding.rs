//! Plain data as bytes, for what goes to other processes of the same version.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of some data.
pub(crate) fn encode<T: Serialize>(data: &T) -> Vec<u8> {
    // Only types whose serialization can fail make it fail, and ours are plain.
    postcard::to_allocvec(data).unwrap_or_default()
}

/// The data that bytes are of.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    postcard::from_bytes(bytes).map_err(|error| error.to_string())
}

/// Bytes of some data, with others behind them.
pub(crate) fn join<T: Serialize>(data: &T, rest: &[u8]) -> Vec<u8> {
    let mut bytes = encode(data);
    bytes.extend_from_slice(rest);
    bytes
}

/// The data that bytes begin with, and what is behind.
pub(crate) fn split<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), String> {
    postcard::take_from_bytes(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_can_be_split() {
        let data = (7_u32, Some("a".to_owned()), vec![-1_i64, i64::MAX]);
        let bytes = join(&data, b"rest");
        let split = split::<(u32, Option<String>, Vec<i64>)>(&bytes);
        assert_eq!(split, Ok((data, b"rest".as_slice())));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let bytes = encode(&vec![1_u64, 2, 3]);
        for length in 0..bytes.len() {
            assert!(decode::<Vec<u64>>(&bytes[..length]).is_err());
        }
    }
}
