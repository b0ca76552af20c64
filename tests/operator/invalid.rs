//! Stored objects that do not parse: reported on themselves, in nobody's way.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    runtime::wait::{await_condition, conditions},
};
use mission_operator::api::{Agent, crds};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    bed::wait::wait_for,
    gateways::shared,
    team::Team,
    world::{PATIENCE, run, world},
};

/// Which values `spec.role` of an Agent may have.
async fn allow_roles(allowed: &Value) {
    let definitions: Api<CustomResourceDefinition> = Api::all(world().await.client.clone());
    let mut definition = crds()
        .into_iter()
        .find(|definition| definition.spec.names.kind == "Agent")
        .unwrap();
    let mut value = serde_json::to_value(&definition).unwrap();
    let role = value
        .pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/role/enum")
        .unwrap();
    if !allowed.is_null() {
        *role = allowed.clone();
    }
    definition = serde_json::from_value(value).unwrap();
    let name = definition.metadata.name.clone().unwrap();
    let params = PatchParams::apply("operator-test").force();
    let patched = definitions
        .patch(&name, &params, &Patch::Apply(&definition))
        .await;
    patched.unwrap();
    await_condition(definitions, &name, conditions::is_crd_established())
        .await
        .unwrap();
}

/// Stores an Agent whose role is one that the operator does not know, as an operator of another version may.
pub(crate) async fn stored_with_role_butler<T>(store: impl AsyncFn() -> Result<T, kube::Error>) {
    // The definition is everybody's.
    static LOOSENED: Mutex<()> = Mutex::const_new(());
    let _alone = LOOSENED.lock().await;
    allow_roles(&json!(["Worker", "Lead", "Main", "Butler"])).await;
    // The server goes by a changed definition some time after it says so.
    let stored = async {
        while store().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let stored = tokio::time::timeout(PATIENCE, stored).await;
    allow_roles(&Value::Null).await;
    stored.expect("the loosened schema takes it");
}

/// Agents, whatever is in them.
pub(crate) async fn agents_as_stored(namespace: &str) -> Api<DynamicObject> {
    let kind = ApiResource::erase::<Agent>(&());
    Api::namespaced_with(world().await.client.clone(), namespace, &kind)
}

#[test]
fn an_object_that_does_not_parse_is_told_so_on_itself_and_the_others_go_on() {
    run(async {
        let team = Team::on(shared().await, "unparsed").await;
        let kind = ApiResource::erase::<Agent>(&());
        let api = agents_as_stored(&team.namespace).await;
        let spec = json!({"role": "Butler", "gatewayRef": {"name": "main"}});
        let old = DynamicObject::new("old", &kind).data(json!({"spec": spec}));

        stored_with_role_butler(async || api.create(&PostParams::default(), &old).await).await;

        let told = |object: Option<&DynamicObject>| {
            object.is_some_and(|object| {
                let conditions = object.data["status"]["conditions"].as_array();
                let conditions = conditions.into_iter().flatten();
                conditions.into_iter().any(|it| {
                    it["type"] == "Ready"
                        && it["status"] == "False"
                        && it["reason"] == "InvalidObject"
                })
            })
        };
        let found = wait_for(api.clone(), "old", "InvalidObject", PATIENCE, told).await;
        let conditions = &found.unwrap().unwrap().data["status"]["conditions"];
        let message = conditions[0]["message"].as_str().unwrap();
        assert!(message.contains("Butler"), "{message}");
        assert!(message.contains("does not fit its schema"), "{message}");
        team.event("old", "Warning", "InvalidObject").await;

        team.apply_spec::<Agent>("new", json!({"gatewayRef": {"name": "main"}}))
            .await;
        team.ready::<Agent>("new").await;
        team.delete::<Agent>("new").await;
        let outcome = team
            .kubectl(&["delete", "oca", "old", "--timeout=60s"], "")
            .await;
        assert!(
            outcome.success,
            "an object that nothing holds goes at once: {}",
            outcome.errors
        );
    });
}
