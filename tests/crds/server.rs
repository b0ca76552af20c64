//! The bed's API server as these tests use it: definitions applied, objects of any kind sent as dry runs, answers taken apart.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams,
};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Error};
use mission_operator::api::{GROUP, VERSION};
use serde_json::{Value, json};

use crate::bed::Bed;

/// One reason for which the server refused an object.
#[derive(Debug)]
pub(crate) struct Cause {
    pub(crate) field: String,
    pub(crate) message: String,
}

/// The server, with the definitions, and a namespace of the test's own.
pub(crate) struct Server {
    client: Client,
    namespace: String,
}

impl Server {
    /// Creates the namespace `crds-<name>-…`; the bed has installed the chart with the definitions.
    pub(crate) async fn start(name: &str) -> Self {
        let client = Bed::from_env().client().await.unwrap();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let metadata = ObjectMeta {
            generate_name: Some(format!("crds-{name}-")),
            ..ObjectMeta::default()
        };
        let namespace = Namespace {
            metadata,
            ..Namespace::default()
        };
        let namespace = namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        Self {
            client,
            namespace: namespace.metadata.name.unwrap(),
        }
    }

    /// Deletes the test's namespace with everything in it. A test that fails leaves it to the end of the bed.
    pub(crate) async fn finish(self) {
        let namespaces: Api<Namespace> = Api::all(self.client);
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// The objects of a kind in the test's namespace.
    pub(crate) fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind))
    }

    /// Sends an object as a dry run; the object as the server would store it.
    pub(crate) async fn create(&self, kind: &str, spec: &Value) -> Result<Value, Vec<Cause>> {
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        answer(
            self.api(kind)
                .create(&params, &object(kind, "case", spec))
                .await,
        )
    }

    /// Stores an object, sends the change as a dry run, and takes the object away again.
    pub(crate) async fn change(
        &self,
        kind: &str,
        before: &Value,
        after: &Value,
    ) -> Result<Value, Vec<Cause>> {
        let name = self.store(kind, "change", before).await;
        let api = self.api(kind);
        let mut changed = object(kind, &name, after);
        changed.metadata.resource_version = api.get(&name).await.unwrap().metadata.resource_version;
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let answer = answer(api.replace(&name, &params, &changed).await);
        api.delete(&name, &DeleteParams::default()).await.unwrap();
        answer
    }

    /// Stores an object; its name.
    pub(crate) async fn store(&self, kind: &str, name: &str, spec: &Value) -> String {
        self.api(kind)
            .create(&PostParams::default(), &object(kind, name, spec))
            .await
            .unwrap();
        name.to_owned()
    }

    /// Writes the status of an object.
    pub(crate) async fn write_status(&self, kind: &str, name: &str, status: &Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.api(kind)
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// The spec of a definition as the server stores it.
    pub(crate) async fn definition(&self, name: &str) -> Value {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        serde_json::to_value(definitions.get(name).await.unwrap().spec).unwrap()
    }
}

/// The names of the objects that a field selector finds.
pub(crate) async fn names(api: &Api<DynamicObject>, selector: &str) -> Vec<String> {
    let found = api
        .list(&ListParams::default().fields(selector))
        .await
        .unwrap();
    let mut names: Vec<String> = found
        .items
        .into_iter()
        .filter_map(|object| object.metadata.name)
        .collect();
    names.sort();
    names
}

fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, VERSION, kind))
}

fn object(kind: &str, name: &str, spec: &Value) -> DynamicObject {
    DynamicObject::new(name, &resource(kind)).data(json!({"spec": spec}))
}

fn answer(answer: Result<DynamicObject, Error>) -> Result<Value, Vec<Cause>> {
    let status = match answer {
        Ok(object) => return Ok(serde_json::to_value(object).unwrap()),
        Err(Error::Api(status)) => status,
        Err(error) => panic!("no answer: {error}"),
    };
    assert_eq!(status.code, 422, "{}", status.message);
    let causes = status
        .details
        .into_iter()
        .flat_map(|details| details.causes);
    let causes = causes.filter(|cause| {
        !cause
            .message
            .contains("some validation rules were not checked")
    });
    Err(causes
        .map(|cause| Cause {
            field: cause.field,
            message: cause.message,
        })
        .collect())
}
