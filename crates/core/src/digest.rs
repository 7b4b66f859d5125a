//! Digests, record identities, and the one source of randomness: ranks derived from identities.
//!
//! **Invariant:** a rank is a function of (seed, purpose, record id) only, so that the same record is chosen on every
//! machine, in every order of reading, and whatever other records exist.

use std::fmt;
use std::str::FromStr;

/// A BLAKE3 digest (32 bytes), written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

/// The identity of a record: the first 16 bytes of a BLAKE3 digest over its source, upstream id, text and media paths.
///
/// It is written as 32 lower-case hexadecimal digits, and is the sample key in shards.
/// It does not depend on the record's position in its file, nor on where the files are on this machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub [u8; 16]);

/// Why a string is not a digest or record id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not {expected} hexadecimal digits")]
pub struct ParseDigestError {
    /// The string.
    pub text: String,
    /// How many hexadecimal digits were expected.
    pub expected: usize,
}

/// The rank of a record in a draw: a uniform 64-bit number from (seed, purpose, record id).
///
/// Taking the N records of lowest rank is consistent: a larger N keeps all that a smaller one chose.
/// `purpose` keeps draws independent: a record that is drawn early is not therefore delivered early.
pub fn rank(seed: u64, purpose: &str, id: RecordId) -> u64 {
    let mut bytes = [0; 64];
    let fields = [&seed.to_le_bytes()[..], &(purpose.len() as u64).to_le_bytes(), purpose.as_bytes(), &id.0];
    let mut rest = bytes.as_mut_slice();
    for field in fields {
        let Some((front, back)) = rest.split_at_mut_checked(field.len()) else { return rank_of_long_purpose(fields) };
        front.copy_from_slice(field);
        rest = back;
    }
    let num_unused = rest.len();
    let (used, _) = bytes.split_at(bytes.len() - num_unused);
    first_bits(&blake3::hash(used))
}

/// One hash over one buffer makes ranks cheap. A purpose that does not fit into the buffer is hashed field by field.
fn rank_of_long_purpose(fields: [&[u8]; 4]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for field in fields {
        hasher.update(field);
    }
    first_bits(&hasher.finalize())
}

fn first_bits(hash: &blake3::Hash) -> u64 {
    u64::from_le_bytes(first_eight(hash.as_bytes()))
}

fn first_eight(digest: &[u8; 32]) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(digest.split_at(8).0);
    first
}

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Its first 64 bits, for tables that need no more.
    pub fn first_bits(&self) -> u64 {
        u64::from_be_bytes(first_eight(&self.0))
    }

    /// The digest of a sequence of fields, each with its length: where a field ends matters.
    pub fn of_fields<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for field in fields {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

impl RecordId {
    /// The record id that is the first half of a digest.
    pub fn from_digest(digest: Digest) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(digest.0.split_at(16).0);
        Self(half)
    }

    /// The id of the n-th (n ≥ 1) further record with the same content.
    #[must_use]
    pub fn occurrence(self, n: u64) -> Self {
        Self::from_digest(Digest::of_fields([&self.0[..], b"occurrence", &n.to_le_bytes()]))
    }

    /// The id of the n-th part (from 0) of a record that is split into several samples.
    #[must_use]
    pub fn piece(self, n: u64) -> Self {
        Self::from_digest(Digest::of_fields([&self.0[..], b"piece", &n.to_le_bytes()]))
    }

    /// The id of the n-th (n ≥ 1) further delivery of a record.
    #[must_use]
    pub fn repetition(self, n: u64) -> Self {
        Self::from_digest(Digest::of_fields([&self.0[..], b"repetition", &n.to_le_bytes()]))
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // One write for all digits: ids are written several times for each record.
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 0xF)]);
    }
    let digits = digits.get(..2 * bytes.len()).and_then(|digits| std::str::from_utf8(digits).ok());
    f.write_str(digits.ok_or(fmt::Error)?)
}

fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' - 10 + value }
}

fn bytes_from_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseDigestError> {
    let wrong = || ParseDigestError { text: text.to_owned(), expected: 2 * N };
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_ascii| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_digits| wrong())?;
    }
    Ok(bytes)
}

macro_rules! hex_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                bytes_from_hex(text).map(Self)
            }
        }
    )*};
}

hex_text!(Digest, RecordId);

crate::text_form!(Digest: "^[0-9a-f]+$", RecordId: "^[0-9a-f]+$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_id_survives_its_text_form() {
        let id = RecordId::from_digest(Digest::of(b"x"));
        assert_eq!(id.to_string().parse::<RecordId>(), Ok(id));
        for text in ["xyz".to_owned(), id.to_string() + "0", "g".repeat(32)] {
            assert_eq!(text.parse::<RecordId>(), Err(ParseDigestError { text, expected: 32 }));
        }
    }

    #[test]
    fn fields_are_kept_apart() {
        assert_ne!(Digest::of_fields([&b"ab"[..], b"c"]), Digest::of_fields([&b"a"[..], b"bc"]));
    }

    #[test]
    fn a_long_purpose_is_ranked_as_a_short_one() {
        // BLAKE3 of seed, length of the purpose, purpose and id, whether they fit into the buffer or not.
        let id = RecordId::from_digest(Digest::of(b"x"));
        for purpose in ["p", &"p".repeat(32), &"p".repeat(33), &"p".repeat(100)] {
            let fields = [&7_u64.to_le_bytes()[..], &(purpose.len() as u64).to_le_bytes(), purpose.as_bytes(), &id.0];
            let first = *blake3::hash(&fields.concat()).as_bytes().first_chunk().unwrap();
            assert_eq!(rank(7, purpose, id), u64::from_le_bytes(first), "{}", purpose.len());
        }
    }

    #[test]
    fn ranks_differ_by_seed_purpose_and_id() {
        let id = RecordId::from_digest(Digest::of(b"x"));
        let base = rank(1, "draw", id);
        assert_eq!(base, rank(1, "draw", id));
        assert_ne!(base, rank(2, "draw", id));
        assert_ne!(base, rank(1, "order", id));
        assert_ne!(base, rank(1, "draw", id.occurrence(1)));
    }
}
