use crate::bed::tools::{Versions, required};

#[test]
fn every_part_is_pinned_to_one_version() {
    let versions = Versions::pinned().unwrap();
    for version in [
        versions.kubernetes,
        versions.etcd,
        versions.helm,
        versions.openclaw,
        versions.node,
    ] {
        let numbers: Vec<_> = version.split('.').map(str::parse::<u32>).collect();
        assert!(
            numbers.len() == 3 && numbers.iter().all(Result::is_ok),
            "{version} is no exact version"
        );
    }
}

#[test]
fn a_required_version_is_found_on_its_line_and_on_no_other() {
    let go_mod = "require (\n\texample.com/a/b v1.2.3 // indirect\n\texample.com/a v4.5.6\n)\n";
    assert_eq!(required(go_mod, "example.com/a").unwrap(), "4.5.6");
    assert_eq!(required(go_mod, "example.com/a/b").unwrap(), "1.2.3");
    assert!(required(go_mod, "example.com/c").is_err());
}
