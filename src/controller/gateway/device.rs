//! The operator's device identity for one Gateway: made once, kept in a Secret that the Gateway owns, with the token that the gateway
//! issues to it.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::{
    api::{Gateway, owner, reason::Reason},
    controller::{context::Context, runner::ReconcileError},
    gateway::{
        Device, LinkState,
        device::{DeviceError, same_token},
    },
    kube::secret::owned,
    plan::{gateway::SecretProblem, names},
};

use super::secret;

/// Key of the private key, PKCS#8 PEM.
const KEY: &str = "privateKey";
/// Key of the token that the gateway issued.
const TOKEN: &str = "deviceToken";

/// The device of a Gateway: the stored one, else a new one that is stored first. A Gateway that is being deleted gets no new one.
pub(super) async fn device(
    gateway: &Gateway,
    context: &Context,
) -> Result<Result<Option<Device>, SecretProblem>, ReconcileError> {
    let name = secret_name(gateway);
    if let Some(stored) = secret::api(gateway, context).get_opt(&name).await? {
        return Ok(read(&stored, gateway).map(Some));
    }
    let known = context.pool.device(&gateway.uid().unwrap_or_default());
    if gateway.metadata.deletion_timestamp.is_some() {
        return Ok(Ok(known));
    }
    Ok(create(&name, known, gateway, context).await?.map(Some))
}

/// Stores the token that the gateway issued to the device over the link that is up, where it is another one than `device` has.
pub(super) async fn keep_token(
    gateway: &Gateway,
    context: &Context,
    device: &Device,
) -> Result<(), ReconcileError> {
    let link = context.pool.get(&gateway.uid().unwrap_or_default());
    let Some(LinkState::Up(hello)) = link.map(|link| link.state().borrow().clone()) else {
        return Ok(());
    };
    let Some(token) = &hello.device_token else {
        return Ok(());
    };
    if same_token(Some(token), device.token()) {
        return Ok(());
    }
    let data = BTreeMap::from([(TOKEN, bytes(token))]);
    secret::api(gateway, context)
        .patch(
            &secret_name(gateway),
            &PatchParams::default(),
            &Patch::Merge(json!({ "data": data })),
        )
        .await?;
    Ok(())
}

fn read(stored: &Secret, gateway: &Gateway) -> Result<Device, SecretProblem> {
    let name = stored.name_any();
    if !owner::is_owned_by(stored, gateway) {
        return Err(SecretProblem {
            reason: Reason::SecretExists,
            message: format!(
                "Secret {name} exists and is not this Gateway's, so it is left alone. Name another one in spec.auth.deviceSecretName, or delete it if nobody needs it."
            ),
        });
    }
    let token = secret::value(stored, TOKEN).map(SecretString::from);
    let pem = secret::value(stored, KEY).unwrap_or_default();
    Device::from_pem(&pem, token).map_err(|error| SecretProblem {
        reason: Reason::DeviceKeyUnreadable,
        message: format!(
            "Secret {name} has no usable device key under {KEY:?}: {error}. Delete the Secret: a new key is made then, which has to be approved on the gateway."
        ),
    })
}

/// Stores the device of the link that there is, or a new one.
async fn create(
    name: &str,
    known: Option<Device>,
    gateway: &Gateway,
    context: &Context,
) -> Result<Result<Device, SecretProblem>, ReconcileError> {
    let device = known.clone().unwrap_or_else(Device::generate);
    let unwritable = |error: DeviceError| SecretProblem {
        reason: Reason::DeviceKeyUnreadable,
        message: format!("A device key could not be made: {error}."),
    };
    let pem = match device.to_pem() {
        Ok(pem) => pem,
        Err(error) => return Ok(Err(unwritable(error))),
    };
    let mut data = BTreeMap::from([(KEY.to_owned(), bytes(&pem))]);
    if let Some(token) = device.token() {
        data.insert(TOKEN.to_owned(), bytes(token));
    }
    let stored = owned(gateway, name, data);
    match secret::api(gateway, context)
        .create(&PostParams::default(), &stored)
        .await
    {
        Ok(_) => Ok(Ok(device)),
        // The namespace takes no new objects any more; what is in memory serves until all is cleaned up.
        Err(kube::Error::Api(status)) if status.code == 403 && known.is_some() => Ok(Ok(device)),
        Err(error) => Err(error.into()),
    }
}

fn bytes(text: &SecretString) -> ByteString {
    ByteString(text.expose_secret().as_bytes().to_vec())
}

/// `spec.auth.deviceSecretName`, else the Gateway's name and `-device`.
fn secret_name(gateway: &Gateway) -> String {
    let named = gateway.spec.auth.device_secret_name.clone();
    named.unwrap_or_else(|| names::derived(&gateway.name_any(), "device"))
}

#[cfg(test)]
mod tests {
    use kube::Resource as _;

    use super::*;

    fn gateway(name: &str) -> Gateway {
        Gateway::new(name, crate::api::GatewaySpec::default())
    }

    #[test]
    fn the_secret_is_called_after_the_gateway_or_as_its_spec_says() {
        assert_eq!(secret_name(&gateway("main")), "main-device");
        let mut named = gateway("main");
        named.spec.auth.device_secret_name = Some("mine".to_owned());
        assert_eq!(secret_name(&named), "mine");
    }

    #[test]
    fn a_secret_of_somebody_else_is_left_alone() {
        let mut ours = gateway("main");
        ours.metadata.uid = Some("uid-1".to_owned());
        let pem = Device::generate().to_pem().unwrap();
        let mut stored = Secret {
            data: Some(BTreeMap::from([(KEY.to_owned(), bytes(&pem))])),
            ..Secret::default()
        };
        stored.metadata.name = Some("main-device".to_owned());
        let problem = read(&stored, &ours).unwrap_err();
        assert_eq!(problem.reason, Reason::SecretExists);
        stored.metadata.owner_references = ours.controller_owner_ref(&()).map(|it| vec![it]);
        assert!(read(&stored, &ours).is_ok());
        stored.data = None;
        let problem = read(&stored, &ours).unwrap_err();
        assert_eq!(problem.reason, Reason::DeviceKeyUnreadable);
    }
}
