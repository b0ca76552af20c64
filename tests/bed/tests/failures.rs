use crate::bed::failures::failures;

/// As libtest prints it.
const LOG: &str = "\
running 3 tests
test a::goes_well ... ok
test a::goes_wrong ... FAILED
test b::goes_wrong_too ... FAILED

failures:

---- a::goes_wrong stdout ----
it had said something before

thread 'a::goes_wrong' (7) panicked at tests/a.rs:27:9:
assertion `left == right` failed
  left: 1
 right: 2
stack backtrace:
   0: __rustc::rust_begin_unwind

---- b::goes_wrong_too stdout ----

thread 'b::goes_wrong_too' (8) panicked at tests/b.rs:1:2:
no
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace


failures:
    a::goes_wrong
    b::goes_wrong_too

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

#[test]
fn every_test_that_failed_is_told_with_what_it_panicked_with() {
    let told = failures(LOG);
    assert_eq!(
        told,
        [
            "a::goes_wrong: thread 'a::goes_wrong' (7) panicked at tests/a.rs:27:9:\n    assertion `left == right` failed\n      left: 1\n     right: 2",
            "b::goes_wrong_too: thread 'b::goes_wrong_too' (8) panicked at tests/b.rs:1:2:\n    no",
        ]
    );
}

#[test]
fn a_long_story_is_cut_and_says_so() {
    let said = "a line\n".repeat(40);
    let log = LOG.replace("assertion `left == right` failed\n", &said);
    let told = &failures(&log)[0];
    assert_eq!(told.lines().count(), 13, "{told}");
    assert!(told.ends_with("(31 lines more)"), "{told}");
}

#[test]
fn nothing_is_told_where_all_went_well() {
    assert_eq!(failures("test a::goes_well ... ok\n"), [""; 0]);
}
