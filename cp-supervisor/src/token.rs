//! One-time join tokens: for one life of a member.

use crate::session::{NoRandomness, random};
use cp_catalog::TokenHash;
use cp_seam::Incarnation;
use std::fmt;
use std::str::FromStr;

/// The secret half of a token, before the member has an incarnation. Its hash
/// goes into the log, itself it never does.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 16]);

impl Secret {
    /// A new one.
    pub fn new() -> Result<Self, NoRandomness> {
        random().map(Self)
    }

    /// What the replicated state keeps of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash(*blake3::hash(&self.0).as_bytes())
    }

    /// The token for the life that was allotted.
    pub fn for_life(self, incarnation: Incarnation) -> Token {
        Token { incarnation, secret: self }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A join token, as an operator carries it: `<incarnation>-<32 hexadecimal digits>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The life that it lets in.
    pub incarnation: Incarnation,
    secret: Secret,
}

impl Token {
    /// What the replicated state keeps of it.
    pub fn hash(&self) -> TokenHash {
        self.secret.hash()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:032x}", self.incarnation.0, u128::from_be_bytes(self.secret.0))
    }
}

impl FromStr for Token {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let (incarnation, secret) = text.split_once('-').ok_or(BadToken)?;
        if secret.len() != 32 || !secret.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BadToken);
        }
        let secret = u128::from_str_radix(secret, 16).map_err(|_| BadToken)?;
        let incarnation = incarnation.parse().map_err(|_| BadToken)?;
        Ok(Self { incarnation: Incarnation(incarnation), secret: Secret(secret.to_be_bytes()) })
    }
}

/// A text that is no token. The text is not repeated: it may be a mistyped secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no join token; one is a number, a dash and 32 hexadecimal digits, as `cp-supervisor member add` printed it"
)]
pub struct BadToken;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_being_carried_and_nothing_else_is_one() {
        let token = Secret::new().unwrap().for_life(Incarnation(7));
        assert_eq!(token.to_string().parse(), Ok(token.clone()));
        assert_ne!(token.hash(), Secret::new().unwrap().hash());
        let text = token.to_string();
        for bad in [
            "",
            "7",
            "7-",
            &text[..text.len() - 1],
            &format!("{text}0"),
            &format!("x{text}"),
            "7-+0000000000000000000000000000001",
        ] {
            assert_eq!(bad.parse::<Token>(), Err(BadToken), "{bad}");
        }
        assert!(!format!("{token:?}").contains(&text[2..]));
    }
}
