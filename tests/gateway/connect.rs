//! Getting in, and being refused.

use mission_operator::gateway::{Credential, Endpoint, Link, LinkError, LinkState};

use crate::bed::relay::Relay;
use crate::world::{run, shared, until, up};

#[test]
fn a_hello_tells_version_process_scopes_and_capabilities() {
    run(async {
        let world = shared().await;
        let hello = up(&world.link()).await;
        assert!(hello.version.starts_with("20"), "{hello:?}");
        assert_eq!(hello.scopes, ["operator.admin"]);
        assert_eq!(hello.capabilities.missing(), Vec::<&str>::new());
        let theirs = world.rpc().await.hello().clone();
        assert_eq!(theirs["server"]["bootId"], hello.boot_id.as_str());
    });
}

#[test]
fn a_wrong_token_is_refused_with_the_gateways_words_and_not_tried_again_soon() {
    run(async {
        let world = shared().await;
        let relay = Relay::start(world.gateway.port()).unwrap();
        let link = Link::open(Endpoint::new(
            relay.url(),
            Credential::Token("not-the-token".into()),
        ));
        let state = until(&link, |state| matches!(state, LinkState::Refused { .. })).await;
        let LinkState::Refused {
            error, retry_at, ..
        } = state
        else {
            unreachable!()
        };
        assert!(
            matches!(&*error, LinkError::Unauthorized { code, .. } if code == "AUTH_TOKEN_MISMATCH"),
            "{error}"
        );
        assert!(error.to_string().contains("token mismatch"), "{error}");
        assert!(!format!("{error:?} {link:?}").contains("not-the-token"));
        assert!(
            retry_at
                .duration_since(tokio::time::Instant::now())
                .as_secs()
                > 100
        );
        assert_eq!(relay.count("connect"), 1);
    });
}

#[test]
fn an_address_where_nobody_listens_is_unreachable() {
    run(async {
        let port = crate::bed::port::free().unwrap();
        let link = Link::open(Endpoint::new(
            format!("ws://127.0.0.1:{port}"),
            Credential::Token("any".into()),
        ));
        let state = until(&link, |state| {
            matches!(state, LinkState::Connecting { last: Some(_), .. })
        })
        .await;
        let LinkState::Connecting {
            last: Some(error), ..
        } = state
        else {
            unreachable!()
        };
        assert!(matches!(&*error, LinkError::Unreachable { .. }), "{error}");
    });
}

#[test]
fn a_web_server_is_told_from_a_gateway() {
    run(async {
        let provider = crate::bed::Bed::from_env().description.provider.url;
        let link = Link::open(Endpoint::new(
            provider.replace("http://", "ws://"),
            Credential::Token("any".into()),
        ));
        let state = until(&link, |state| {
            matches!(state, LinkState::Connecting { last: Some(_), .. })
        })
        .await;
        let LinkState::Connecting {
            last: Some(error), ..
        } = state
        else {
            unreachable!()
        };
        assert!(matches!(&*error, LinkError::NotAGateway { .. }), "{error}");
    });
}
