//! The targets over their seeds: as they are, and cut and spliced.

use std::path::Path;

use proptest::{prelude::*, sample::Index};

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let files = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 4] = [
    ("frame", super::frame),
    ("session", super::session),
    ("difference", super::difference),
    ("template", super::template),
];

#[test]
fn every_seed_holds() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(seeds.len() > 2, "{name} has seeds");
        for seed in seeds {
            target(&seed);
        }
    }
}

proptest! {
    #[test]
    fn what_is_made_of_the_seeds_holds(
        of in any::<[Index; 2]>(), cuts in any::<[Index; 4]>(), other in "[\\PC\n\"{}]{0,8}"
    ) {
        for (name, target) in TARGETS {
            let seeds = seeds(name);
            let part = |seed: Index, from: Index, to: Index| {
                let seed = seed.get(&seeds);
                let (from, to) = (from.index(seed.len() + 1), to.index(seed.len() + 1));
                seed[from.min(to)..from.max(to)].to_vec()
            };
            let [a, b, c, d] = cuts;
            let spliced = [part(of[0], a, b), other.clone().into_bytes(), part(of[1], c, d)];
            target(&spliced.concat());
        }
    }
}
