//! Names of objects that are made for another object.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Longest name of an object.
const LONGEST: usize = 253;

/// The owner's name and `-suffix`; an over-long one is cut and ends in 8 hex digits of the whole's SHA-256.
#[must_use]
pub fn derived(owner: &str, suffix: &str) -> String {
    let name = format!("{owner}-{suffix}");
    if name.len() <= LONGEST {
        return name;
    }
    let mut digest = HEXLOWER.encode(&Sha256::digest(name.as_bytes()));
    digest.truncate(8);
    let kept: String = name.chars().take(LONGEST - 9).collect();
    format!("{}-{digest}", kept.trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_called_after_its_owner_as_far_as_names_may_be_long() {
        assert_eq!(derived("main", "device"), "main-device");
        let long = derived(&"x".repeat(LONGEST), "device");
        assert_eq!(long.len(), LONGEST);
        let others = [
            derived(&format!("{}y", "x".repeat(LONGEST - 1)), "device"),
            derived(&"x".repeat(LONGEST), "main"),
        ];
        assert!(!others.contains(&long));
        assert!(!derived(&"a.".repeat(126), "device").contains(".-"));
    }
}
