//! A config document that somebody broke on disk.

use mission_operator::gateway::{Class, WriteError};

use crate::world::{own, run, wish};

#[test]
fn nothing_is_written_while_the_document_is_invalid_and_all_goes_on_when_it_is_repaired() {
    run(async {
        let world = own().await;
        let path = world.gateway.config_path();
        let good = std::fs::read_to_string(&path).unwrap();
        let mut broken = world.gateway.config().unwrap();
        broken["agents"]["nonsense"] = true.into();
        std::fs::write(&path, broken.to_string()).unwrap();

        let error = world.writer().apply(wish("patient")).await.unwrap_err();
        assert!(
            matches!(error, WriteError::ConfigInvalid { .. }),
            "{error:?}"
        );
        assert_eq!(error.class(), Class::Waiting);
        assert!(error.to_string().contains("nonsense"), "{error}");
        let config = world.link().config_get().await.unwrap();
        assert!(!config.valid && config.parsed.is_null());

        std::fs::write(&path, good).unwrap();
        let repaired = loop {
            match world.writer().apply(wish("patient")).await {
                // The gateway notices the file in its own time.
                Err(WriteError::ConfigInvalid { .. }) => {}
                outcome => break outcome,
            }
        };
        assert!(repaired.unwrap().wrote);
    });
}
