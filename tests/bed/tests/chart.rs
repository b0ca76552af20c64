use serde_json::json;

use crate::bed::chart::rules;

#[test]
fn only_roles_bound_to_the_service_account_count() {
    let role = |name: &str, resource: &str| {
        json!({
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [{"apiGroups": ["", "x"], "resources": [resource], "verbs": ["get", "list"]}],
        })
    };
    let objects = [
        role("operator", "secrets"),
        role("view", "agents"),
        json!({
            "kind": "ClusterRoleBinding",
            "subjects": [{"kind": "ServiceAccount", "name": "mission-operator"}],
            "roleRef": {"kind": "ClusterRole", "name": "operator"},
        }),
    ];
    let rules: Vec<String> = rules(&objects).iter().map(ToString::to_string).collect();
    assert_eq!(
        rules,
        [
            "get secrets",
            "list secrets",
            "get secrets.x",
            "list secrets.x"
        ]
    );
}
