//! Texts of a ConfigMap that take the place of built-in templates: under which keys they are looked for, and which one wins. Pure.

use std::collections::BTreeMap;

use crate::api::{Board, Gateway, agent::Role};
use crate::plan::render::{FileName, Text};

/// Key of the heartbeat checklist: the file that it was in before it got its place with the heartbeat.
const CHECKLIST: &str = "HEARTBEAT.md";

/// A ConfigMap with templates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TemplatesMap {
    /// Its namespace: that of the Board or the Gateway that names it.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who names it, for people: `Board research`.
    pub named_by: String,
}

/// The ConfigMaps in which an Agent's templates are looked for, the nearest first.
#[must_use]
pub fn maps(board: Option<&Board>, gateway: &Gateway) -> Vec<TemplatesMap> {
    let board = board.map(|board| ("Board", &board.metadata, board.spec.templates.as_ref()));
    let gateway = Some((
        "Gateway",
        &gateway.metadata,
        gateway.spec.templates.as_ref(),
    ));
    board
        .into_iter()
        .chain(gateway)
        .filter_map(|(kind, metadata, templates)| {
            let owner = metadata.name.clone().unwrap_or_default();
            Some(TemplatesMap {
                namespace: metadata.namespace.clone().unwrap_or_default(),
                name: templates?.config_map_ref.name.clone(),
                named_by: format!("{kind} {owner}"),
            })
        })
        .collect()
}

/// The text that takes the place of the built-in one, and the place of its ConfigMap among `data`, which has those of [`maps`] in
/// their order. In each the key with the role, `lead.SOUL.md`, goes before the one without, `SOUL.md`.
#[must_use]
pub fn find<'a>(
    text: Text,
    role: Role,
    data: impl IntoIterator<Item = Option<&'a BTreeMap<String, String>>>,
) -> Option<(usize, &'a str)> {
    let name = match text {
        Text::File(name) => name.as_str(),
        Text::Checklist => CHECKLIST,
    };
    let keys = [
        format!("{}.{name}", role.as_str().to_lowercase()),
        name.to_owned(),
    ];
    data.into_iter().enumerate().find_map(|(place, data)| {
        let text = keys.iter().find_map(|key| data?.get(key))?;
        Some((place, text.as_str()))
    })
}

/// Every text that has a built-in template.
#[must_use]
pub fn replaceable() -> Vec<Text> {
    FileName::ALL
        .into_iter()
        .filter(|name| name.has_built_in())
        .map(Text::File)
        .chain([Text::Checklist])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        BoardSpec, GatewaySpec,
        reference::{ConfigMapRef, Templates},
    };

    const SOUL: Text = Text::File(FileName::Soul);

    fn data<const N: usize>(texts: [(&str, &str); N]) -> BTreeMap<String, String> {
        texts
            .map(|(key, text)| (key.to_owned(), text.to_owned()))
            .into()
    }

    #[test]
    fn the_nearest_wins_and_in_it_the_key_with_the_role() {
        let board = data([("SOUL.md", "board"), ("lead.HEARTBEAT.md", "beat")]);
        let gateway = data([("lead.SOUL.md", "gateway lead"), ("worker.USER.md", "user")]);
        let of = |text, role| find(text, role, [Some(&board), Some(&gateway)]);
        assert_eq!(of(SOUL, Role::Lead), Some((0, "board")));
        assert_eq!(of(Text::Checklist, Role::Lead), Some((0, "beat")));
        assert_eq!(of(Text::Checklist, Role::Worker), None);
        let user = Text::File(FileName::User);
        assert_eq!(of(user, Role::Worker), Some((1, "user")));
        assert_eq!(of(user, Role::Main), None);

        let board = data([("SOUL.md", "all"), ("lead.SOUL.md", "lead")]);
        let of = |role| find(SOUL, role, [Some(&board)]);
        assert_eq!(of(Role::Lead), Some((0, "lead")));
        assert_eq!(of(Role::Worker), Some((0, "all")));
        assert_eq!(find(SOUL, Role::Worker, [None, None]), None);
    }

    #[test]
    fn the_boards_map_is_looked_at_before_the_gateways() {
        let templates = |name: &str| {
            Some(Templates {
                config_map_ref: ConfigMapRef {
                    name: name.to_owned(),
                },
            })
        };
        let mut board = Board::new("research", BoardSpec::default());
        let mut gateway = Gateway::new("main", GatewaySpec::default());
        gateway.metadata.namespace = Some("infra".to_owned());
        assert_eq!(maps(Some(&board), &gateway), []);
        gateway.spec.templates = templates("house");
        board.spec.templates = templates("team");
        let found = maps(Some(&board), &gateway);
        let names: Vec<_> = found.iter().map(|map| map.name.as_str()).collect();
        assert_eq!(names, ["team", "house"]);
        assert_eq!(found[1].namespace, "infra");
        assert_eq!(found[1].named_by, "Gateway main");
        assert_eq!(maps(None, &gateway).len(), 1);
    }
}
