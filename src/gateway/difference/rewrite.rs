//! The whole document with a merge patch applied, for a write that has to send all of it. Pure.
//!
//! What the patch does not name keeps its every byte: the order of keys, and numbers that no type of ours holds.

use indexmap::IndexMap;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

/// `document`, the text of a JSON object, with `patch` (RFC 7396) applied.
pub fn rewritten(document: &str, patch: &Map<String, Value>) -> Result<String, serde_json::Error> {
    let mut members: IndexMap<String, Box<RawValue>> = serde_json::from_str(document)?;
    for (key, change) in patch {
        match change {
            Value::Null => {
                members.shift_remove(key);
            }
            Value::Object(change) => {
                let there = members.get(key).map(|value| value.get());
                let object = there.filter(|text| text.starts_with('{')).unwrap_or("{}");
                let merged = RawValue::from_string(rewritten(object, change)?)?;
                members.insert(key.clone(), merged);
            }
            value => {
                members.insert(key.clone(), to_raw_value(value)?);
            }
        }
    }
    serde_json::to_string(&members)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn patch(value: Value) -> Map<String, Value> {
        let Value::Object(patch) = value else {
            panic!("a patch is an object")
        };
        patch
    }

    #[test]
    fn what_the_patch_does_not_name_keeps_its_order_and_every_digit() {
        let document = r#"{"zeta":{"limit":1.0,"id":123456789012345678901234567890,"tiny":1e-7,"token":"__REDACTED__"},"agents":{"entries":{"z":{"name":"Z"},"a":{"name":"A","heartbeat":{"every":"1h","target":"none"}}},"defaults":{ "b":[1.50,{"y":0,"x":0}]}},"esc\"aped":"\u00e9"}"#;
        let change = json!({"agents": {"ownership": "explicit", "entries": {
            "a": {"heartbeat": {"every": null}, "model": "p/m"}, "new": {"name": "N"},
        }}});
        assert_eq!(
            rewritten(document, &patch(change)).unwrap(),
            r#"{"zeta":{"limit":1.0,"id":123456789012345678901234567890,"tiny":1e-7,"token":"__REDACTED__"},"agents":{"entries":{"z":{"name":"Z"},"a":{"name":"A","heartbeat":{"target":"none"},"model":"p/m"},"new":{"name":"N"}},"defaults":{ "b":[1.50,{"y":0,"x":0}]},"ownership":"explicit"},"esc\"aped":"\u00e9"}"#
        );
    }

    #[test]
    fn only_an_object_can_be_rewritten() {
        for document in ["null", "[]", "", "{"] {
            rewritten(document, &Map::new()).unwrap_err();
        }
        assert_eq!(rewritten("{}", &Map::new()).unwrap(), "{}");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            ".{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\u{e9}\"]{1,2}", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    fn any_object() -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[a-c\u{e9}\"]{1,2}", any_json(), 0..4)
            .prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn it_means_what_a_merge_patch_means(document in any_object(), change in any_object()) {
            let text = rewritten(&document.to_string(), &patch(change.clone())).unwrap();
            let mut merged = document;
            json_patch::merge(&mut merged, &change);
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), merged);
        }
    }
}
