//! Secrets that an object owns, so that they go with it. What they hold is the caller's business.

use std::collections::BTreeMap;

use ::kube::{Resource, ResourceExt, api::ObjectMeta};
use k8s_openapi::{ByteString, api::core::v1::Secret};

use crate::api::{
    annotation::{FIELD_MANAGER, MANAGED_BY},
    owner,
};

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
                MANAGED_BY.to_owned(),
                FIELD_MANAGER.to_owned(),
            )])),
            owner_references: owner::controller(owner).map(|reference| vec![reference]),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::Agent;

    #[test]
    fn a_secret_stands_beside_its_owner_and_goes_with_it() {
        let meta = json!({"name": "a", "namespace": "team", "uid": "1"});
        let agent: Agent = serde_json::from_value(json!({"metadata": meta, "spec": {}})).unwrap();
        let secret = owned(&agent, "a-token", BTreeMap::new());
        assert_eq!(secret.namespace().as_deref(), Some("team"));
        assert!(owner::is_owned_by(&secret, &agent));
    }
}
