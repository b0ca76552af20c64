//! What a Secret of an agent's tokens holds: reads it, and makes what goes into it.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use k8s_openapi::{ByteString, api::core::v1::Secret, jiff::Timestamp};
use kube::ResourceExt;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    api::annotation::{MINTED_AT, MINTED_FOR},
    controller::runner::Next,
    plan::once::Values,
};

/// Key of the token that the files carry.
pub(super) const TOKEN: &str = "token";
/// Key of the next one, while a rotation is under way.
pub(super) const NEXT: &str = "nextToken";

/// The tokens of an Agent, as its Secret holds them now.
#[derive(Debug)]
pub(in crate::controller::agent) struct Token {
    pub(super) current: SecretString,
    pub(super) next: Option<SecretString>,
    pub(super) version: Option<String>,
    /// Time until it is to be replaced because of its age.
    pub(super) ages_in: Option<Duration>,
}

impl Token {
    /// The one that belongs into the files.
    pub(in crate::controller::agent) fn for_files(&self) -> &SecretString {
        self.next.as_ref().unwrap_or(&self.current)
    }

    /// Both, where there are two.
    pub(super) fn all(&self) -> impl Iterator<Item = &SecretString> {
        std::iter::once(&self.current).chain(&self.next)
    }

    /// Whether the next one has not taken the other's place yet.
    pub(in crate::controller::agent) fn is_rotating(&self) -> bool {
        self.next.is_some()
    }

    /// When the pass after this one has to come, for the token's sake.
    pub(in crate::controller::agent) fn next_look(&self) -> Next {
        self.ages_in.map_or(Next::Change, Next::Within)
    }
}

/// The tokens in a Secret; nothing where the current one is missing or cannot be one of ours.
pub(super) fn read(secret: &Secret) -> Option<Token> {
    let text = |key: &str| {
        let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
        let text = std::str::from_utf8(bytes).ok()?;
        is_token(text).then(|| SecretString::from(text.to_owned()))
    };
    Some(Token {
        current: text(TOKEN)?,
        next: text(NEXT),
        version: secret.resource_version(),
        ages_in: None,
    })
}

/// What can stand in a header, a file and a line for a shell as it is, and cannot be guessed.
fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (32..=256).contains(&text.len()) && text.bytes().all(is_plain)
}

/// When the newest of them was minted.
pub(super) fn minted_at(secret: &Secret) -> Option<Timestamp> {
    secret.annotations().get(MINTED_AT)?.parse().ok()
}

/// The values that the newest of them was minted for.
pub(super) fn minted_for(secret: &Secret) -> Option<Values> {
    serde_json::from_str(secret.annotations().get(MINTED_FOR)?).ok()
}

/// As it stands in the annotation.
pub(super) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// 32 random bytes, URL-safe: 43 characters.
pub(super) fn mint() -> SecretString {
    let bytes: [u8; 32] = rand::random();
    BASE64URL_NOPAD.encode(&bytes).into()
}

/// As it stands in the Secret.
pub(super) fn bytes(text: &SecretString) -> ByteString {
    ByteString(text.expose_secret().as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_minted_token_has_32_bytes_and_is_read_back_from_its_secret() {
        let (first, second) = (mint(), mint());
        assert_eq!(first.expose_secret().len(), 43);
        assert_ne!(first.expose_secret(), second.expose_secret());
        let mut secret = Secret {
            data: Some(BTreeMap::from([(TOKEN.to_owned(), bytes(&first))])),
            ..Secret::default()
        };
        let stored = read(&secret).unwrap();
        assert_eq!(stored.for_files().expose_secret(), first.expose_secret());
        let data = secret.data.get_or_insert_default();
        data.insert(NEXT.to_owned(), bytes(&second));
        let stored = read(&secret).unwrap();
        assert_eq!(stored.for_files().expose_secret(), second.expose_secret());
    }

    #[test]
    fn what_a_shell_could_not_quote_or_somebody_could_guess_is_no_token() {
        let long = "x".repeat(32);
        assert!(is_token(&long));
        for text in [
            "",
            "short",
            &format!("{long}'"),
            &format!("{long}\n"),
            &"x".repeat(257),
        ] {
            assert!(!is_token(text), "{text:?}");
        }
    }
}
