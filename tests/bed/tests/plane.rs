use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use crate::bed::{
    Bed, audit,
    kubeconfig::{self, Credential},
    kubectl::Kubectl,
    plane::Plane,
    tools::Tools,
    wait::wait_for,
};

#[tokio::test]
async fn what_rbac_forbids_to_a_service_account_stands_in_the_audit_log() {
    let bed = Bed::from_env();
    let admin = bed.kubectl();
    admin
        .run(&["create", "namespace", "bed-audit"])
        .await
        .unwrap();
    let token = admin
        .run(&["create", "token", "default", "--namespace", "bed-audit"])
        .await
        .unwrap();
    let config = kube::config::Kubeconfig::read_from(&bed.description.kubeconfig).unwrap();
    let cluster = config.clusters[0].cluster.as_ref().unwrap();
    let path = bed.run.dir().join("bed-audit.kubeconfig");
    kubeconfig::write(
        &path,
        cluster.server.as_ref().unwrap(),
        cluster.certificate_authority.as_ref().unwrap().as_ref(),
        &Credential::Token(token.trim()),
    )
    .unwrap();
    let outcome = Kubectl::new(&bed.description.tools.kubectl, &path)
        .call(&["get", "secrets", "--namespace", "bed-audit"], "")
        .await
        .unwrap();
    assert!(!outcome.success, "{}", outcome.output);

    let requests = audit::read(&bed.description.audit_log).unwrap();
    let user = "system:serviceaccount:bed-audit:default";
    let forbidden: Vec<_> = audit::forbidden(&requests, user)
        .map(|request| (request.permission().to_string(), request.code))
        .collect();
    assert_eq!(forbidden, [("list secrets".to_owned(), 403)]);
    let created = requests
        .iter()
        .any(|request| request.is_write() && request.name == "bed-audit");
    assert!(created, "the audit log holds no creation of the namespace");
}

#[tokio::test]
async fn a_plane_outlives_its_api_server_and_a_watch_sees_it_again() {
    let bed = Bed::from_env();
    let tools = Tools::installed().unwrap();
    let mut plane = Plane::start(&bed.run, &tools, "own-plane").await.unwrap();
    let watched = tokio::spawn(wait_for(
        Api::<Namespace>::all(plane.client().await.unwrap()),
        "after-the-kill",
        "a namespace made after the API server was killed",
        Duration::from_mins(1),
        |namespace: Option<&Namespace>| namespace.is_some(),
    ));
    plane.kill_api_server().await.unwrap();
    plane.start_api_server_again().await.unwrap();
    plane
        .kubectl()
        .run(&["create", "namespace", "after-the-kill"])
        .await
        .unwrap();
    assert!(watched.await.unwrap().unwrap().is_some());
    plane.stop().await.unwrap();
}
