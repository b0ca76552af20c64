//! Who owns an object, as its ownerReferences say: the garbage collector deletes it with its owners.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt, core::ObjectMeta};

/// What makes `owner` the one that owns and controls another object. Without `blockOwnerDeletion`, which takes rights on the owner's finalizers
/// in some clusters.
#[must_use]
pub fn controller<K: Resource<DynamicType = ()>>(owner: &K) -> Option<OwnerReference> {
    owner.controller_owner_ref(&())
}

/// Whether `owner` owns the object: this very one, and not another of its name.
#[must_use]
pub fn is_owned_by<T: Resource, K: Resource>(object: &T, owner: &K) -> bool {
    let uid = owner.meta().uid.as_ref();
    let owners = object.owner_references();
    owners.iter().any(|it| Some(&it.uid) == uid)
}

/// Whether an object was made for one of the kind and of this name that is gone, and goes by itself. `uid` is that of the one that has the
/// name now.
#[must_use]
pub fn is_left_over<K: Resource<DynamicType = ()>>(
    name: &str,
    uid: Option<&str>,
    there: &ObjectMeta,
) -> bool {
    let mut owners = there.owner_references.iter().flatten();
    owners.any(|owner| {
        owner.controller == Some(true)
            && owner.kind == K::kind(&())
            && owner.api_version == K::api_version(&())
            && owner.name == name
            && Some(owner.uid.as_str()) != uid
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;
    use crate::api::Agent;

    fn agent(uid: Option<&str>) -> Agent {
        let meta = json!({"name": "a", "namespace": "team", "uid": uid});
        serde_json::from_value(json!({"metadata": meta, "spec": {}})).unwrap()
    }

    #[test]
    fn an_object_is_of_the_very_one_that_owns_it() {
        let reference = controller(&agent(Some("1"))).unwrap();
        assert_eq!(reference.controller, Some(true));
        assert_eq!(reference.block_owner_deletion, None);
        let mut secret = Secret::default();
        assert!(!is_owned_by(&secret, &agent(None)));
        secret.metadata.owner_references = Some(vec![reference]);
        assert!(is_owned_by(&secret, &agent(Some("1"))));
        assert!(!is_owned_by(&secret, &agent(Some("2"))));
        assert!(!is_owned_by(&secret, &agent(None)));
    }

    #[test]
    fn an_object_is_left_over_where_its_owner_of_the_name_has_gone() {
        let owned_by = |owner: serde_json::Value| {
            serde_json::from_value::<ObjectMeta>(json!({"ownerReferences": [owner]})).unwrap()
        };
        let owner = |kind: &str, name: &str, controls: bool| json!({"apiVersion": "mission.openclaw.dev/v1alpha1", "kind": kind, "name": name, "uid": "old", "controller": controls});
        let is_left_over = is_left_over::<Agent>;
        let old = owned_by(owner("Agent", "poet", true));
        assert!(is_left_over("poet", None, &old));
        assert!(is_left_over("poet", Some("new"), &old));
        assert!(!is_left_over("poet", Some("old"), &old));
        for other in [
            owner("Agent", "other", true),
            owner("Board", "poet", true),
            owner("Agent", "poet", false),
        ] {
            assert!(!is_left_over("poet", None, &owned_by(other)));
        }
        assert!(!is_left_over("poet", None, &ObjectMeta::default()));
    }
}
