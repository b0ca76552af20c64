//! Writes to the API server: status, finalizers, owners. Each is one small patch that either changes something or is not sent.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::cache::prune;
use crate::api::annotation::FIELD_MANAGER;

/// Writes the whole status by server-side apply.
///
/// The caller compares with the status it knows and leaves equal ones alone: even a patch that changes nothing is a request.
/// Errors are the API server's; 404 means that the object is gone.
pub async fn patch_status<K, S>(client: &Client, object: &K, status: &S) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug,
    S: Serialize + Debug,
{
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        // The uid makes the patch miss an object that was deleted and created again under the name.
        "metadata": { "name": object.name_any(), "uid": object.meta().uid },
        "status": status,
    });
    let mut written = api::<K>(client, object)
        .patch_status(
            &object.name_any(),
            &PatchParams::apply(FIELD_MANAGER).force(),
            &Patch::Apply(patch),
        )
        .await?;
    prune(&mut written);
    Ok(written)
}

/// Adds `finalizer`. The resourceVersion in the patch makes it fail with 409 where somebody changed the object meanwhile.
pub async fn add_finalizer<K>(
    client: &Client,
    object: &K,
    finalizer: &str,
) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(finalizer.to_owned());
    set_finalizers(client, object, &finalizers).await
}

/// Removes `finalizer`; an object that is gone already counts as done. 409 as in [`add_finalizer`].
pub async fn remove_finalizer<K>(
    client: &Client,
    object: &K,
    finalizer: &str,
) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug,
{
    if !object.finalizers().iter().any(|f| f == finalizer) {
        return Ok(());
    }
    let rest: Vec<_> = object
        .finalizers()
        .iter()
        .filter(|f| *f != finalizer)
        .cloned()
        .collect();
    match set_finalizers(client, object, &rest).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// Puts these in the place of the object's owners. 409 as in [`add_finalizer`].
pub async fn set_owners<K>(
    client: &Client,
    object: &K,
    owners: &[OwnerReference],
) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug,
{
    set_metadata(client, object, "ownerReferences", &owners).await
}

async fn set_finalizers<K>(
    client: &Client,
    object: &K,
    finalizers: &[String],
) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug,
{
    set_metadata(client, object, "finalizers", &finalizers).await
}

async fn set_metadata<K>(
    client: &Client,
    object: &K,
    field: &str,
    value: &impl Serialize,
) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let patch = json!({
        "metadata": { "uid": object.meta().uid, "resourceVersion": object.resource_version(), (field): value },
    });
    let mut written = api::<K>(client, object)
        .patch(
            &object.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await?;
    prune(&mut written);
    Ok(written)
}

/// The API of the object's own namespace.
fn api<K>(client: &Client, object: &K) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}
