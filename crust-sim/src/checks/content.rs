//! Bytes that tell where they belong: what traffic is made of, and held to where it arrives.
//!
//! A content is named by a key, and every eight bytes of it follow from that key and their place. So whoever knows key
//! and place can check any piece of it alone, and what is damaged, moved, or of another content is noticed.

use thiserror::Error;

/// A byte that is not the one that belongs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("byte {offset} of content {key:#x} is {found}, not {expected}")]
pub struct WrongByte {
    /// Of which content.
    pub key: u64,
    /// Where in it.
    pub offset: u64,
    /// What it should be.
    pub expected: u8,
    /// What it is.
    pub found: u8,
}

/// Fills a buffer with the bytes of a content from `offset` on.
pub fn fill(key: u64, offset: u64, buffer: &mut [u8]) {
    let mut at = offset;
    let mut rest = buffer;
    while !rest.is_empty() {
        let word = word(key, at / 8).to_le_bytes();
        let here = &word[(at % 8) as usize..];
        let len = here.len().min(rest.len());
        let (now, later) = rest.split_at_mut(len);
        now.copy_from_slice(&here[..len]);
        (rest, at) = (later, at + len as u64);
    }
}

/// Whether bytes are those of a content from `offset` on.
///
/// # Errors
///
/// The first that is not.
pub fn verify(key: u64, offset: u64, data: &[u8]) -> Result<(), WrongByte> {
    let mut expected = [0; 512];
    let mut at = offset;
    for part in data.chunks(expected.len()) {
        let expected = &mut expected[..part.len()];
        fill(key, at, expected);
        // At once where all is right, which is nearly always.
        if part != expected
            && let Some(wrong) = part.iter().zip(&*expected).position(|(found, expected)| found != expected)
        {
            let (expected, found) = (expected[wrong], part[wrong]);
            return Err(WrongByte { key, offset: at + wrong as u64, expected, found });
        }
        at += part.len() as u64;
    }
    Ok(())
}

/// Eight bytes of a content: SplitMix64's output function over key and place.
fn word(key: u64, at: u64) -> u64 {
    crate::Rng::new(key ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).next_u64()
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
