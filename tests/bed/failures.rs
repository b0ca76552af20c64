//! What of a log of `cargo test` a person looks for first: which tests failed, and what each said.

/// Lines of what a test said that are told again.
const MOST_LINES: usize = 12;
/// Characters of each of them.
const LONGEST_LINE: usize = 300;

/// Every test that failed, by name, with the first lines of what it panicked with; the whole stands in the log.
pub(crate) fn failures(log: &str) -> Vec<String> {
    let blocks = log.split("\n---- ").skip(1);
    blocks.filter_map(failure).collect()
}

fn failure(block: &str) -> Option<String> {
    let (name, said) = block.split_once(" stdout ----\n")?;
    let ends = |line: &&str| {
        *line == "failures:" || *line == "stack backtrace:" || line.starts_with("note: run with")
    };
    let lines: Vec<_> = said
        .lines()
        .skip_while(|line| !line.contains("panicked at"))
        .take_while(|line| !ends(line))
        .collect();
    let cut = |line: &&str| line.chars().take(LONGEST_LINE).collect::<String>();
    let mut told: Vec<_> = lines.iter().take(MOST_LINES).map(cut).collect();
    if lines.len() > MOST_LINES {
        told.push(format!("({} lines more)", lines.len() - MOST_LINES));
    }
    Some(format!("{name}: {}", told.join("\n    ").trim_end()))
}
