//! Secrets that an object owns, so that they go with it. What they hold is the caller's business.

use std::collections::BTreeMap;

use ::kube::{Resource, ResourceExt, api::ObjectMeta};
use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference,
};

use crate::api::annotation::FIELD_MANAGER;

/// A Secret `name` beside `owner`, which owns it and controls it, with our label.
pub fn owned<K>(owner: &K, name: &str, data: BTreeMap<String, ByteString>) -> Secret
where
    K: Resource<DynamicType = ()>,
{
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: owner.namespace(),
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/managed-by".to_owned(),
                FIELD_MANAGER.to_owned(),
            )])),
            // Without `blockOwnerDeletion`, which takes rights on the owner's finalizers in some clusters.
            owner_references: owner.owner_ref(&()).map(|owner| {
                vec![OwnerReference {
                    controller: Some(true),
                    ..owner
                }]
            }),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

/// Whether `owner` owns the Secret: this very object, and not another of its name.
#[must_use]
pub fn is_owned_by<K: Resource>(secret: &Secret, owner: &K) -> bool {
    let uid = owner.meta().uid.as_ref();
    let owners = secret.owner_references();
    owners.iter().any(|it| Some(&it.uid) == uid)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::Agent;

    fn agent(uid: Option<&str>) -> Agent {
        let meta = json!({"name": "a", "namespace": "team", "uid": uid});
        serde_json::from_value(json!({"metadata": meta, "spec": {}})).unwrap()
    }

    #[test]
    fn a_secret_stands_beside_its_owner_and_is_of_this_very_object_alone() {
        let owner = agent(Some("1"));
        let secret = owned(&owner, "a-token", BTreeMap::new());
        assert_eq!(secret.namespace().as_deref(), Some("team"));
        let reference = &secret.owner_references()[0];
        assert_eq!(reference.controller, Some(true));
        assert_eq!(reference.block_owner_deletion, None);
        assert!(is_owned_by(&secret, &owner));
        assert!(!is_owned_by(&secret, &agent(Some("2"))));
        assert!(!is_owned_by(&secret, &agent(None)));
        assert!(!is_owned_by(&Secret::default(), &agent(None)));
    }
}
