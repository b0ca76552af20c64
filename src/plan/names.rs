//! Names of objects that are made for another object, and what a name may be.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Longest name of an object.
const LONGEST: usize = 253;

/// Longest value of a label.
const LONGEST_LABEL: usize = 63;

/// The owner's name and `-suffix`; an over-long one is cut and ends in 8 hex digits of the whole's SHA-256.
#[must_use]
pub fn derived(owner: &str, suffix: &str) -> String {
    cut(format!("{owner}-{suffix}"), LONGEST)
}

/// The name of an object as the value of a label; an over-long one is cut likewise.
#[must_use]
pub fn label(name: &str) -> String {
    cut(name.to_owned(), LONGEST_LABEL)
}

fn cut(name: String, longest: usize) -> String {
    if name.len() <= longest {
        return name;
    }
    let mut digest = HEXLOWER.encode(&Sha256::digest(name.as_bytes()));
    digest.truncate(8);
    let kept: String = name.chars().take(longest - 9).collect();
    format!("{}-{digest}", kept.trim_end_matches(['.', '-']))
}

/// Whether an object may have this name (RFC 1123 subdomain).
#[must_use]
pub fn is_object_name(name: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= LONGEST
        && name.split('.').all(|part| {
            part.starts_with(is_alphanumeric)
                && part.ends_with(is_alphanumeric)
                && part.chars().all(|c| is_alphanumeric(c) || c == '-')
        })
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
    #[test]
    fn a_label_holds_a_name_as_far_as_labels_may_be_long() {
        assert_eq!(label("research-lead"), "research-lead");
        let long = label(&"x".repeat(64));
        assert_eq!(long.len(), LONGEST_LABEL);
        assert_ne!(long, label(&"x".repeat(65)));
        assert!(label(&"a.".repeat(40)).ends_with(|c: char| c.is_ascii_hexdigit()));
    }

    #[test]
    fn a_name_is_judged_as_the_api_server_does() {
        for good in ["a", "fact-checker", "a.b-c.d0", &"x".repeat(253)] {
            assert!(is_object_name(good), "{good}");
        }
        for bad in [
            "",
            "A",
            "a_b",
            "-a",
            "a-",
            "a..b",
            ".a",
            "a.",
            "a/b",
            "a b",
            "é",
            &"x".repeat(254),
        ] {
            assert!(!is_object_name(bad), "{bad}");
        }
    }
}
