use super::*;
use crate::api::agent::FileState;

fn key(uid: &str) -> AgentKey {
    AgentKey {
        namespace: "team".to_owned(),
        name: uid.to_owned(),
        uid: uid.to_owned(),
    }
}

#[test]
fn a_token_is_worth_what_was_said_of_it_last() {
    let directory = Directory::new(Presence::new().0);
    let token = |text: &str| SecretString::from(text.to_owned());
    let (old, new) = (token("old"), token("new"));
    assert_eq!(directory.find("old"), Found::NotReadYet);
    directory.expect_tokens(["a".to_owned()]);
    assert_eq!(directory.find("old"), Found::NotReadYet);
    directory.set_tokens(&key("a"), []);
    assert_eq!(directory.find("old"), Found::Unknown);

    directory.set_tokens(&key("a"), [&old]);
    directory.add_tokens(&key("a"), [&new]);
    assert_eq!(directory.find("old"), Found::Known(key("a")));
    assert_eq!(directory.find("new"), Found::Known(key("a")));
    directory.set_tokens(&key("a"), [&new]);
    assert_eq!(directory.find("old"), Found::Unknown);
    directory.forget("a");
    assert_eq!(directory.find("new"), Found::Unknown);
}

#[test]
fn a_token_that_two_have_stays_the_one_who_had_it_first() {
    let directory = Directory::new(Presence::new().0);
    directory.expect_tokens([]);
    let token = SecretString::from("shared".to_owned());
    directory.set_tokens(&key("a"), [&token]);
    directory.add_tokens(&key("b"), [&token]);
    assert_eq!(directory.find("shared"), Found::Known(key("a")));
    directory.set_tokens(&key("b"), []);
    assert_eq!(directory.find("shared"), Found::Known(key("a")));
    directory.set_tokens(&key("b"), [&token]);
    directory.forget("b");
    assert_eq!(directory.find("shared"), Found::Known(key("a")));
    directory.add_tokens(&key("b"), [&token]);
    directory.forget("a");
    assert_eq!(directory.find("shared"), Found::Unknown);
    directory.add_tokens(&key("b"), [&token]);
    assert_eq!(directory.find("shared"), Found::Known(key("b")));
}

#[tokio::test(start_paused = true)]
async fn tokens_that_cannot_be_read_are_not_waited_for_for_ever() {
    let directory = Directory::new(Presence::new().0);
    let there = ["a", "b"].map(str::to_owned);
    directory.expect_tokens(there.clone().into_iter().chain(["gone".to_owned()]));
    let there = HashSet::from(there);
    directory.expect_only(&there);
    directory.set_tokens(&key("a"), []);
    tokio::time::advance(READ_WITHIN / 2).await;
    directory.expect_only(&there);
    assert_eq!(directory.find("x"), Found::NotReadYet);
    tokio::time::advance(READ_WITHIN / 2).await;
    directory.expect_only(&there);
    assert_eq!(directory.find("x"), Found::Unknown);
    // Readable at last.
    let token = SecretString::from("x".to_owned());
    directory.add_tokens(&key("b"), [&token]);
    assert_eq!(directory.find("x"), Found::Known(key("b")));
}

#[test]
fn who_is_known_by_anything_is_among_the_known() {
    let directory = Directory::new(Presence::new().0);
    assert!(directory.uids().is_empty());
    directory.set_tokens(&key("a"), []);
    assert!(directory.news(&key("b"), &[]).is_empty());
    assert_eq!(
        directory.uids(),
        HashSet::from(["a", "b"].map(str::to_owned))
    );
    directory.forget("a");
    directory.forget("b");
    assert!(directory.uids().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_new_to_an_agent_is_told_for_a_minute_and_not_again() {
    let directory = Directory::new(Presence::new().0);
    let file = |name: &str, sha256: &str, modified| FileStatus {
        name: name.to_owned(),
        sha256: sha256.to_owned(),
        size: 1,
        modified: Some(modified),
        state: FileState::Synced,
    };
    let news = |files: &[FileStatus]| directory.news(&key("a"), files);
    let first = [file("AGENTS.md", "1", 10), file("SOUL.md", "1", 10)];
    assert_eq!(news(&first), ["AGENTS.md", "SOUL.md"]);
    // The answer was lost, and the agent asks again.
    tokio::time::advance(TOLD_AGAIN / 2).await;
    assert_eq!(news(&first), ["AGENTS.md", "SOUL.md"]);
    tokio::time::advance(TOLD_AGAIN / 2).await;
    assert!(news(&first).is_empty());
    // Put back after somebody changed it: the text is the same again, and was written.
    let put_back = [file("AGENTS.md", "1", 20), file("SOUL.md", "1", 10)];
    assert_eq!(news(&put_back), ["AGENTS.md"]);
    assert_eq!(news(&[file("SOUL.md", "2", 10)]), ["SOUL.md"]);
    assert!(news(&[]).is_empty());
    directory.forget("a");
    assert_eq!(news(&first).len(), 2);
}
