//! The samples, as a user applies them.

use std::path::Path;

use mission_operator::api::{Agent, Board, Gateway as GatewayObject};

use crate::{
    gateways::{read, shared},
    team::{Team, file},
    world::{run, world},
};

#[test]
fn the_samples_become_ready_when_they_are_applied_at_once() {
    run(async {
        let gateway = shared().await;
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/samples");
        let mut paths: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        let texts: Vec<_> = paths.iter().map(|path| read(path)).collect();
        let manifest = texts.join("\n---\n");
        let url = "ws://127.0.0.1:18789";
        assert!(manifest.contains(url) && manifest.contains(gateway.secret()));
        let manifest = manifest.replace(url, &gateway.url());
        world().await.kubectl.apply(&manifest).await.unwrap();

        let team = Team::existing("team-research").await;
        team.ready::<GatewayObject>("main").await;
        team.ready::<Board>("research").await;
        let analyst: Agent = team.ready("analyst").await;
        let writer: Agent = team.ready("writer").await;
        assert_eq!(
            team.objects().await.len(),
            4,
            "a sample that this test does not await"
        );
        let soul = read(&file(&writer, "SOUL.md"));
        assert!(
            soul.contains("You are Writer, a Writer on the board Research."),
            "{soul}"
        );
        assert!(soul.contains("Write for Ada:"), "{soul}");
        let memory = read(&file(&analyst, "MEMORY.md"));
        assert!(memory.contains("Quote the source"), "{memory}");
    });
}
