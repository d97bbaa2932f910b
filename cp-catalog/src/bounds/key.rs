//! Byte strings that bound ranges.

use super::BadBounds;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A byte string that bounds a range. Never empty: the empty key is what
/// [`Bound::Min`](super::Bound::Min) covers. Cloning is cheap.
#[derive(Clone)]
pub struct Key(KeyBytes);

/// Short keys lie in place, so that comparing them touches no other memory.
#[derive(Clone)]
enum KeyBytes {
    Short { len: u8, bytes: [u8; SHORT_LEN_MAX_BYTES] },
    Long(Arc<[u8]>),
}

const SHORT_LEN_MAX_BYTES: usize = 22;

/// The longest key that bounds a range, in bytes.
pub const KEY_LEN_MAX_BYTES: usize = 4096;

impl Key {
    /// Takes a key, or says what is wrong with it.
    pub fn new(bytes: &[u8]) -> Result<Self, BadBounds> {
        match bytes.len() {
            0 => Err(BadBounds::EmptyKey),
            1..=SHORT_LEN_MAX_BYTES => {
                let mut short = [0; SHORT_LEN_MAX_BYTES];
                short.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                Ok(Self(KeyBytes::Short { len: bytes.len() as u8, bytes: short }))
            }
            length if length <= KEY_LEN_MAX_BYTES => Ok(Self(KeyBytes::Long(bytes.into()))),
            length => Err(BadBounds::LongKey { length }),
        }
    }

    /// Whether it does not lie in place.
    pub(super) fn is_long(&self) -> bool {
        matches!(self.0, KeyBytes::Long(_))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            KeyBytes::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            KeyBytes::Long(bytes) => bytes,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (KeyBytes::Long(own), KeyBytes::Long(other)) if Arc::ptr_eq(own, other) => true,
            _ => self.as_bytes() == other.as_bytes(),
        }
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_compare_as_their_bytes_whatever_their_length() {
        let texts =
            ["a", "a\0", "ab", "b", "abcdefghijklmnopqrstuv", "abcdefghijklmnopqrstuvw", "abcdefghijklmnopqrstuw"];
        for (one, other) in texts.iter().flat_map(|one| texts.map(|other| (*one, other))) {
            let [a, b] = [one, other].map(|text| Key::new(text.as_bytes()).unwrap());
            assert_eq!((a.cmp(&b), a == b), (one.cmp(other), one == other), "{one} {other}");
            assert_eq!(a.as_bytes(), one.as_bytes());
        }
        assert!(Key::new(&[0; KEY_LEN_MAX_BYTES]).is_ok());
        assert_eq!(Key::new(&[0; KEY_LEN_MAX_BYTES + 1]), Err(BadBounds::LongKey { length: KEY_LEN_MAX_BYTES + 1 }));
    }

    #[test]
    fn equal_keys_hash_alike_and_others_apart() {
        let hash = |bytes: &[u8]| {
            let mut hasher = std::hash::DefaultHasher::new();
            Key::new(bytes).unwrap().hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(b"a"), hash(b"a"));
        assert_ne!(hash(b"a"), hash(b"b"));
    }
}
