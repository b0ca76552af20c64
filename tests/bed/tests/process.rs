use std::{path::Path, time::Duration};

use crate::bed::{
    pid::{PidRecord, Stopped, parse_stat},
    process::Start,
    run::Run,
    wait::until_file,
};

#[test]
fn a_program_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
    let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 11 0 987654 0 0";
    assert_eq!(parse_stat(stat), Some(('S', 987_654)));
}

#[test]
fn a_stat_line_that_is_cut_off_is_refused() {
    assert_eq!(parse_stat("42 (a) S 1 42"), None);
    assert_eq!(parse_stat(""), None);
}

#[tokio::test]
async fn a_record_with_another_start_time_is_not_this_process() {
    let mut record = PidRecord::of(std::process::id(), "self").unwrap();
    assert!(record.is_alive());
    record.start_time += 1;
    assert!(!record.is_alive());
    assert_eq!(
        record.stop(Duration::ZERO).await.unwrap(),
        Stopped::Gone,
        "a process with another start time must not be signalled"
    );
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_is_killed_with_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::create(dir.path()).unwrap();
    let script = "trap '' TERM; sleep 1000 & echo $!; wait; wait";
    let process = Start::new("stubborn", Path::new("/bin/sh"))
        .args(["-c", script])
        .env("PATH", "/usr/bin:/bin")
        .spawn(&run)
        .unwrap();
    until_file(process.log(), Duration::from_secs(10), |text| {
        text.ends_with('\n')
    })
    .await
    .unwrap();
    let helper: u32 = process.last_words(1).trim().parse().unwrap();
    let helper = PidRecord::of(helper, "helper").unwrap();
    assert!(run.is_running());
    assert_eq!(
        process.stop(Duration::from_millis(200)).await.unwrap(),
        Stopped::Killed
    );
    process.exited().await.unwrap();
    // The helper leads no group, so this only waits for its end, and fails when the group's SIGKILL did not reach it.
    helper.stop(Duration::from_secs(5)).await.unwrap();
    assert!(!run.is_running());
}

#[tokio::test]
async fn the_owner_of_a_run_stops_what_others_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::create(dir.path()).unwrap();
    let process = Start::new("sleeper", Path::new("/bin/sleep"))
        .args(["1000"])
        .spawn(&run)
        .unwrap();
    let same_run = Run::open(dir.path()).unwrap();
    assert_eq!(same_run.stop_all().await.unwrap(), Vec::<String>::new());
    assert!(!process.is_alive());
    assert!(
        std::fs::read_dir(run.pids()).unwrap().next().is_none(),
        "records of what was stopped are removed"
    );
}

#[test]
fn what_an_ended_test_binary_has_left_is_stopped_and_what_runs_on_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::create(dir.path()).unwrap();
    let sleeper = |name: &str| {
        Start::new(name, Path::new("/bin/sleep"))
            .args(["1000"])
            .spawn(&run)
            .unwrap()
    };
    let (left, kept) = (sleeper("left"), sleeper("kept"));
    let path = run.pids().join("left.json");
    let mut record = PidRecord::read(&path).unwrap();
    assert!(!record.is_orphan());
    let (pid, start_time) = record.starter.unwrap();
    record.starter = Some((pid, start_time + 1));
    record.write(&path).unwrap();

    run.stop_orphans().unwrap();
    assert!(!left.is_alive() && !path.exists());
    assert!(kept.is_alive());
    kept.record().stop_blocking(Duration::from_secs(5)).unwrap();
}
