//! Gateways that see the operator as a client from elsewhere, as in another pod: its device, who approves it, and TLS.

use data_encoding::HEXLOWER;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use mission_operator::api::{Agent, Gateway as GatewayObject};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    bed::{
        authority::Authority,
        gateway::{Gateway, GatewayOptions},
        relay::Relay,
        wait::wait_for,
    },
    gateways::{quiet, shared},
    team::{Team, gateway_manifest, gateway_spec},
    world::{PATIENCE, run, world},
};

/// An address of documentation (RFC 5737): nobody's, and not loopback.
pub(crate) const ELSEWHERE: &str = "203.0.113.7";
/// The Secret in which the operator keeps its device for Gateway `main`.
const DEVICE: &str = "main-device";

/// A relay through which `gateway` sees clients from elsewhere.
pub(crate) fn afar(gateway: &Gateway) -> Relay {
    Relay::start_for_clients_at(ELSEWHERE, gateway.port()).unwrap()
}

impl Team {
    fn secrets(&self, client: &kube::Client) -> Api<Secret> {
        Api::namespaced(client.clone(), &self.namespace)
    }

    /// Waits until the Secret of the device is as `wanted`.
    pub(crate) async fn device(&self, what: &str, wanted: impl Fn(&Secret) -> bool) -> Secret {
        let api = self.secrets(&world().await.client);
        let is_wanted = |secret: Option<&Secret>| secret.is_some_and(&wanted);
        let found = wait_for(api, DEVICE, what, PATIENCE, is_wanted).await;
        found.unwrap().expect("it is there")
    }
}

/// The text under a key.
pub(crate) fn text(secret: &Secret, key: &str) -> Option<String> {
    let bytes = &secret.data.as_ref()?.get(key)?.0;
    Some(String::from_utf8(bytes.clone()).unwrap())
}

/// The id of the request that a message tells how to approve.
fn request_id(message: &str) -> String {
    let after = message.split("openclaw devices approve ").nth(1);
    let words = after.unwrap_or_else(|| panic!("no command in: {message}"));
    words.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_gateway_elsewhere_takes_our_device_which_is_kept_in_a_secret_and_used_from_then_on() {
    run(async {
        let gateway = shared().await;
        let relay = afar(gateway);
        let team = Team::bare("afar").await;
        team.secret("openclaw", "token", gateway.secret()).await;
        team.apply(&gateway_manifest(&relay.url())).await;
        let object: GatewayObject = team.ready("main").await;
        team.apply_spec::<Agent>("envoy", json!({"gatewayRef": {"name": "main"}}))
            .await;
        team.ready::<Agent>("envoy").await;

        let kept = team
            .device("key and token", |secret| {
                text(secret, "deviceToken").is_some()
            })
            .await;
        let owner = &kept.owner_references()[0];
        assert_eq!(Some(&owner.uid), object.metadata.uid.as_ref());
        assert_eq!(
            (owner.kind.as_str(), owner.controller),
            ("Gateway", Some(true))
        );
        let key = text(&kept, "privateKey").unwrap();
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n"));

        // Looked at again, and again with another spec: the same device, over the same connection.
        let connections = relay.connections();
        team.reconcile_now::<GatewayObject>("main").await;
        team.patch_spec::<GatewayObject>("main", json!({"heartbeat": {"every": "40m"}}))
            .await;
        team.ready::<GatewayObject>("main").await;
        let client = &world().await.client;
        let still = team.secrets(client).get(DEVICE).await.unwrap();
        assert_eq!(still.resource_version(), kept.resource_version());

        // One that is deleted by mistake comes back as it was.
        let delete = DeleteParams::default();
        team.secrets(client).delete(DEVICE, &delete).await.unwrap();
        team.reconcile_now::<GatewayObject>("main").await;
        let again = team
            .device("a new Secret", |secret| secret.uid() != kept.uid())
            .await;
        assert_eq!(again.data, kept.data);
        assert_eq!(relay.connections(), connections);
        team.disband().await;
    });
}

#[test]
fn a_gateway_with_a_password_takes_our_device_from_elsewhere_too() {
    run(async {
        let gateway = quiet().await;
        let relay = afar(&gateway);
        let team = Team::bare("afar-password").await;
        team.secret("door", "word", gateway.secret()).await;
        let spec = json!({
            "url": relay.url(),
            "auth": {"passwordSecretRef": {"name": "door", "key": "word"}, "deviceSecretName": DEVICE},
        });
        team.apply_spec::<GatewayObject>("main", spec).await;
        team.ready::<GatewayObject>("main").await;
        team.device("a token", |secret| text(secret, "deviceToken").is_some())
            .await;
        team.disband().await;
    });
}

#[test]
fn where_people_approve_devices_the_command_is_told_and_nothing_else_is_needed() {
    run(async {
        let gateway = shared().await;
        let relay = afar(gateway);
        let team = Team::bare("afar-manual").await;
        team.secret("openclaw", "token", gateway.secret()).await;
        let mut spec = gateway_spec(&relay.url());
        spec["auth"]["pairing"] = json!("Manual");
        team.apply_spec::<GatewayObject>("main", spec).await;
        let message = team
            .told::<GatewayObject>("main", "Authenticated", "False", "PairingPending")
            .await;
        team.told::<GatewayObject>("main", "Reachable", "True", "Connected")
            .await;
        let note = team.event("main", "Warning", "PairingPending").await;
        let request_id = request_id(&message);
        assert!(note.contains(&request_id), "{note}");

        let mut rpc = gateway.rpc().await.unwrap();
        rpc.call("device.pair.approve", json!({"requestId": request_id}))
            .await
            .unwrap();
        team.ready::<GatewayObject>("main").await;
    });
}

#[test]
fn a_secret_of_somebody_else_under_the_devices_name_is_left_alone() {
    run(async {
        let gateway = shared().await;
        let team = Team::bare("afar-taken").await;
        team.secret("openclaw", "token", gateway.secret()).await;
        team.secret(DEVICE, "privateKey", "of somebody else").await;
        let client = &world().await.client;
        let before = team.secrets(client).get(DEVICE).await.unwrap();
        team.apply(&gateway_manifest(&gateway.url())).await;
        let message = team
            .told::<GatewayObject>("main", "Authenticated", "False", "SecretExists")
            .await;
        assert!(message.contains("spec.auth.deviceSecretName"), "{message}");
        team.event("main", "Warning", "SecretExists").await;

        let mut spec = gateway_spec(&gateway.url());
        spec["auth"]["deviceSecretName"] = json!("ours");
        team.apply_spec::<GatewayObject>("main", spec).await;
        team.ready::<GatewayObject>("main").await;
        let ours = team.secrets(client).get("ours").await.unwrap();
        assert!(text(&ours, "privateKey").is_some());
        assert_eq!(team.secrets(client).get(DEVICE).await.unwrap(), before);
    });
}

#[test]
fn a_gateway_with_tls_is_known_by_its_pin_or_by_the_ca_in_a_secret() {
    run(async {
        const NAME: &str = "openclaw.test";
        let authority = Authority::new().unwrap();
        let files = tempfile::tempdir().unwrap();
        let pair = authority.certificate(NAME, files.path()).unwrap();
        let certificate = CertificateDer::from_pem_file(&pair.certificate).unwrap();
        let pin = HEXLOWER.encode(&Sha256::digest(&certificate));
        let options = GatewayOptions::new("operator-tls")
            .without_plugins()
            .tls(Some(pair));
        let gateway = world().await.bed.gateway(options).await.unwrap();

        let team = Team::bare("afar-tls").await;
        team.secret("openclaw", "token", gateway.secret()).await;
        let with = |tls: Value| {
            let mut spec = gateway_spec(&gateway.url());
            spec["tls"] = tls;
            spec
        };
        team.apply_spec::<GatewayObject>("main", with(json!({"pinnedSha256": "00".repeat(32)})))
            .await;
        let message = team
            .told::<GatewayObject>("main", "Reachable", "False", "CertificateNotPinned")
            .await;
        assert!(message.contains(&pin), "what it showed: {message}");
        team.event("main", "Warning", "CertificateNotPinned").await;
        team.apply_spec::<GatewayObject>("main", with(json!({"pinnedSha256": pin})))
            .await;
        team.ready::<GatewayObject>("main").await;

        let ca = json!({"caSecretRef": {"name": "ca", "key": "ca.crt"}, "serverName": NAME});
        team.apply_spec::<GatewayObject>("main", with(ca)).await;
        let message = team
            .told::<GatewayObject>("main", "Authenticated", "False", "SecretNotFound")
            .await;
        assert!(message.contains("Secret ca does not exist"), "{message}");
        team.secret("ca", "ca.crt", "no certificate").await;
        team.reconcile_now::<GatewayObject>("main").await;
        team.told::<GatewayObject>("main", "Reachable", "False", "TlsSettings")
            .await;
        team.secret("ca", "ca.crt", &authority.pem()).await;
        team.reconcile_now::<GatewayObject>("main").await;
        team.ready::<GatewayObject>("main").await;
        team.disband().await;
        gateway.stop().await.unwrap();
    });
}

#[test]
fn a_device_key_that_cannot_be_read_is_told_and_a_deleted_one_made_anew() {
    run(async {
        let gateway = shared().await;
        let team = Team::bare("afar-broken").await;
        team.secret("openclaw", "token", gateway.secret()).await;
        team.apply(&gateway_manifest(&gateway.url())).await;
        team.ready::<GatewayObject>("main").await;
        let client = &world().await.client;
        let secrets = team.secrets(client);
        let broken = json!({"stringData": {"privateKey": "no key"}});
        secrets
            .patch(DEVICE, &PatchParams::default(), &Patch::Merge(broken))
            .await
            .unwrap();
        team.reconcile_now::<GatewayObject>("main").await;
        let message = team
            .told::<GatewayObject>("main", "Authenticated", "False", "DeviceKeyUnreadable")
            .await;
        assert!(message.contains("Delete the Secret"), "{message}");
        secrets
            .delete(DEVICE, &DeleteParams::default())
            .await
            .unwrap();
        team.reconcile_now::<GatewayObject>("main").await;
        team.ready::<GatewayObject>("main").await;
    });
}
