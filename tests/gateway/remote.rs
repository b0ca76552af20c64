//! A gateway that sees us as a client from elsewhere: what a secret alone is worth there, and how a device gets in.

use mission_operator::gateway::{
    Credential, Device, Endpoint, Link, LinkError, LinkState, Pairing,
};
use serde_json::json;

use crate::bed::relay::Relay;
use crate::world::{World, own, run, shared, until, up};

/// An address of documentation (RFC 5737): nobody's, and not loopback.
const ELSEWHERE: &str = "203.0.113.7";

/// A proxy that the gateway trusts, and clients behind it.
struct Afar {
    world: &'static World,
    relay: Relay,
}

impl Afar {
    async fn start() -> Self {
        let world = shared().await;
        let relay = Relay::start_for_clients_at(ELSEWHERE, world.gateway.port()).unwrap();
        Self { world, relay }
    }

    fn endpoint(&self, device: Option<Device>, pairing: Pairing) -> Endpoint {
        Endpoint {
            device,
            pairing,
            ..Endpoint::new(self.relay.url(), self.credential())
        }
    }

    fn credential(&self) -> Credential {
        Credential::Token(self.world.gateway.secret().into())
    }

    /// Ids of the devices that wait for approval.
    async fn pending(&self) -> Vec<String> {
        let list = self
            .world
            .rpc()
            .await
            .call("device.pair.list", json!({}))
            .await
            .unwrap();
        let pending = list["pending"].as_array().unwrap();
        pending
            .iter()
            .map(|request| request["deviceId"].as_str().unwrap().to_owned())
            .collect()
    }
}

async fn refused(link: &Link) -> std::sync::Arc<LinkError> {
    match until(link, |state| matches!(state, LinkState::Refused { .. })).await {
        LinkState::Refused { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_secret_alone_opens_nothing_from_elsewhere_and_says_what_is_missing() {
    run(async {
        let afar = Afar::start().await;
        let link = Link::open(afar.endpoint(None, Pairing::Auto));
        let error = refused(&link).await;
        assert!(matches!(*error, LinkError::NoScopes), "{error}");
        assert!(error.to_string().contains("granted no scopes"), "{error}");
    });
}

#[test]
fn a_device_is_approved_by_ourselves_and_its_token_opens_the_gateway_the_next_time() {
    run(async {
        let afar = Afar::start().await;
        let device = Device::generate();
        let link = Link::open(afar.endpoint(Some(device.clone()), Pairing::Auto));
        let hello = up(&link).await;
        assert_eq!(hello.scopes, ["operator.admin"]);
        let token = hello.device_token.clone().expect("a token for the device");
        drop(link);

        // The token alone: nobody shows the right secret here.
        let again = Link::open(Endpoint {
            device: Some(device.clone().with_token(token)),
            ..Endpoint::new(afar.relay.url(), Credential::Token("wrong".into()))
        });
        up(&again).await;
        drop(again);

        // One that is no longer taken is replaced.
        let stale = device.with_token("not-a-token-of-this-gateway".into());
        let renewed = Link::open(afar.endpoint(Some(stale), Pairing::Manual));
        assert!(up(&renewed).await.device_token.is_some());
    });
}

#[test]
fn a_device_that_people_approve_names_the_request_and_goes_on_by_itself() {
    run(async {
        let afar = Afar::start().await;
        let device = Device::generate();
        let link = Link::open(afar.endpoint(Some(device.clone()), Pairing::Manual));
        let error = refused(&link).await;
        let LinkError::PairingRequired {
            request_id: Some(request_id),
            not_automatic: None,
            ..
        } = &*error
        else {
            panic!("{error}");
        };
        let command = format!("openclaw devices approve {request_id}");
        assert!(error.to_string().contains(&command), "{error}");
        assert!(afar.pending().await.contains(&device.id()));
        let approve = json!({"requestId": request_id});
        let mut rpc = afar.world.rpc().await;
        rpc.call("device.pair.approve", approve).await.unwrap();
        up(&link).await;
    });
}

#[test]
fn nobody_elses_device_is_ever_approved() {
    run(async {
        let afar = Afar::start().await;
        let stranger = Device::generate();
        let waiting = Link::open(afar.endpoint(Some(stranger.clone()), Pairing::Manual));
        refused(&waiting).await;
        let ours = Link::open(afar.endpoint(Some(Device::generate()), Pairing::Auto));
        up(&ours).await;
        assert!(afar.pending().await.contains(&stranger.id()));
    });
}

#[test]
fn where_the_plugin_is_off_a_person_is_asked_and_where_it_comes_on_nobody_is() {
    run(async {
        let world = own().await;
        let plugin =
            |on: bool| json!({"plugins": {"entries": {"admin-http-rpc": {"enabled": on}}}});
        let mut rpc = world.rpc().await;
        rpc.patch_config(&plugin(false)).await.unwrap();
        let relay = Relay::start_for_clients_at(ELSEWHERE, world.gateway.port()).unwrap();
        let credential = Credential::Token(world.gateway.secret().into());
        let link = Link::open(Endpoint {
            device: Some(Device::generate()),
            pairing: Pairing::Auto,
            ..Endpoint::new(relay.url(), credential)
        });
        let error = refused(&link).await;
        let text = error.to_string();
        assert!(text.contains("openclaw devices approve "), "{text}");
        assert!(
            text.contains("admin-http-rpc plugin does not answer (HTTP 404"),
            "{text}"
        );
        rpc.patch_config(&plugin(true)).await.unwrap();
        up(&link).await;
    });
}
