use crate::bed::audit::{Rule, counts, forbidden, parse, unused};

const LOG: &str = concat!(
    r#"{"auditID":"1","verb":"watch","user":{"username":"op"},"objectRef":{"apiGroup":"x","resource":"agents"},"annotations":{"authorization.k8s.io/decision":"allow"}}"#,
    "\n",
    r#"{"auditID":"2","verb":"patch","user":{"username":"op"},"objectRef":{"apiGroup":"x","resource":"agents","subresource":"status","name":"a"},"responseStatus":{"code":200},"annotations":{"authorization.k8s.io/decision":"allow"}}"#,
    "\n",
    r#"{"auditID":"1","verb":"watch","user":{"username":"op"},"objectRef":{"apiGroup":"x","resource":"agents"},"responseStatus":{"code":200},"annotations":{"authorization.k8s.io/decision":"allow"}}"#,
    "\n",
    r#"{"auditID":"3","verb":"get","user":{"username":"op"},"objectRef":{"resource":"secrets"},"responseStatus":{"code":403},"annotations":{"authorization.k8s.io/decision":"forbid"}}"#,
    "\n",
    r#"{"auditID":"4","verb":"create","user":{"username":"op"},"objectRef":{"resource":"events"},"responseStatus":{"code":403},"annotations":{"authorization.k8s.io/decision":"allow"}}"#,
    "\n",
    r#"{"auditID":"5","verb":"get","user":{"username":"other"},"objectRef":{"resource":"pods"},"responseStatus":{"code":403},"annotations":{"authorization.k8s.io/decision":"forbid"}}"#,
    "\n",
    r#"{"auditID":"6","verb":"ge"#,
);

fn rule(verb: &str, resource: &str, group: &str) -> Rule {
    Rule {
        group: group.to_owned(),
        resource: resource.to_owned(),
        verb: verb.to_owned(),
    }
}

#[test]
fn a_watch_is_one_request_and_a_half_written_line_is_none() {
    let requests = parse(LOG).unwrap();
    assert_eq!(requests.len(), 5);
    assert_eq!(counts(&requests, "op")[&rule("watch", "agents", "x")], 1);
    assert_eq!(requests[0].code, 200, "the later line wins");
}

#[test]
fn only_what_rbac_forbade_to_the_user_counts_as_forbidden() {
    let requests = parse(LOG).unwrap();
    let forbidden: Vec<_> = forbidden(&requests, "op")
        .map(|request| request.permission().to_string())
        .collect();
    assert_eq!(forbidden, ["get secrets"]);
}

#[test]
fn what_a_server_forbids_before_it_has_read_its_roles_is_not_for_want_of_a_rule() {
    let line = concat!(
        r#"{"auditID":"1","verb":"list","user":{"username":"op"},"objectRef":{"resource":"pods"},"responseStatus":{"code":403},"annotations":{"authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":"RBAC: [clusterrole.rbac.authorization.k8s.io \"mission-operator\" not found]"}}"#,
        "\n"
    );
    assert_eq!(forbidden(&parse(line).unwrap(), "op").count(), 0);
    let other = line.replace("mission-operator", "some-other-role");
    assert_eq!(forbidden(&parse(&other).unwrap(), "op").count(), 1);
}

#[test]
fn a_rule_is_used_by_the_same_verb_on_the_same_subresource_only() {
    let requests = parse(LOG).unwrap();
    let rules = [
        rule("patch", "agents/status", "x"),
        rule("patch", "agents", "x"),
        rule("watch", "agents", "x"),
        rule("get", "secrets", ""),
    ];
    let unused: Vec<_> = unused(&rules, &requests, "op").into_iter().collect();
    assert_eq!(
        unused,
        [rule("get", "secrets", ""), rule("patch", "agents", "x")],
        "a forbidden request uses no rule"
    );
}

#[test]
fn what_changes_something_is_a_write() {
    let requests = parse(LOG).unwrap();
    let writes: Vec<_> = requests
        .iter()
        .filter(|request| request.is_write())
        .map(|request| request.verb.as_str())
        .collect();
    assert_eq!(writes, ["patch", "create"]);
}
