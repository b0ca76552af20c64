//! Texts of a ConfigMap that take the place of built-in templates: under which keys they are looked for, and which one wins. Pure.

use crate::api::{Board, Gateway, agent::Role};
use crate::plan::{
    render::Text,
    sources::{Data, MapName, Sources},
};

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

/// The keys under which the text that takes the place of the built-in one is looked for in a ConfigMap: the one with the role,
/// `lead.SOUL.md`, goes before the one without, `SOUL.md`.
fn keys(text: Text, role: Role) -> [String; 2] {
    let name = match text {
        Text::File(name) => name.as_str(),
        Text::Checklist => CHECKLIST,
    };
    [
        format!("{}.{name}", role.as_str().to_lowercase()),
        name.to_owned(),
    ]
}

/// The text that takes the place of the built-in one, and the place of its ConfigMap among `maps`, which are those of [`maps`] in their order
/// with what they hold. Every look-up is noted in `sources`.
#[must_use]
pub fn find<'a>(
    text: Text,
    role: Role,
    maps: &'a [(MapName, Data)],
    sources: &mut Sources,
) -> Option<(usize, &'a str)> {
    let keys = keys(text, role);
    maps.iter().enumerate().find_map(|(place, (map, data))| {
        let mut found = keys.iter();
        let text = found.find_map(|key| sources.look_up(map, key, data))?;
        Some((place, text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        BoardSpec, GatewaySpec,
        reference::{ConfigMapRef, Templates},
    };
    use crate::plan::render::FileName;

    const SOUL: Text = Text::File(FileName::Soul);

    /// A ConfigMap of this name that holds these texts.
    fn map<const N: usize>(name: &str, texts: [(&str, &str); N]) -> (MapName, Data) {
        let texts = texts.map(|(key, text)| (key.to_owned(), text.to_owned()));
        (("team".to_owned(), name.to_owned()), texts.into())
    }

    fn found(text: Text, role: Role, maps: &[(MapName, Data)]) -> Option<(usize, &str)> {
        find(text, role, maps, &mut Sources::default())
    }

    #[test]
    fn the_nearest_wins_and_in_it_the_key_with_the_role() {
        let maps = [
            map(
                "board",
                [("SOUL.md", "board"), ("lead.HEARTBEAT.md", "beat")],
            ),
            map(
                "gateway",
                [("lead.SOUL.md", "gateway lead"), ("worker.USER.md", "user")],
            ),
        ];
        let of = |text, role| found(text, role, &maps);
        assert_eq!(of(SOUL, Role::Lead), Some((0, "board")));
        assert_eq!(of(Text::Checklist, Role::Lead), Some((0, "beat")));
        assert_eq!(of(Text::Checklist, Role::Worker), None);
        let user = Text::File(FileName::User);
        assert_eq!(of(user, Role::Worker), Some((1, "user")));
        assert_eq!(of(user, Role::Main), None);

        let board = [map("board", [("SOUL.md", "all"), ("lead.SOUL.md", "lead")])];
        let of = |role| found(SOUL, role, &board);
        assert_eq!(of(Role::Lead), Some((0, "lead")));
        assert_eq!(of(Role::Worker), Some((0, "all")));
        assert_eq!(found(SOUL, Role::Worker, &[]), None);
    }

    #[test]
    fn what_is_looked_for_is_noted_up_to_where_it_is_found() {
        let maps = [
            map("board", [("SOUL.md", "board")]),
            map("gateway", [("SOUL.md", "gateway")]),
        ];
        let mut sources = Sources::default();
        assert!(find(SOUL, Role::Worker, &maps, &mut sources).is_some());
        let now = |texts: &[(&str, &str)]| -> Data {
            let texts = texts.iter();
            texts
                .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
                .collect()
        };
        let [(board, _), (gateway, _)] = &maps;
        for (map, texts, differ) in [
            (
                board,
                now(&[("SOUL.md", "board"), ("lead.SOUL.md", "new")]),
                false,
            ),
            (
                board,
                now(&[("SOUL.md", "board"), ("worker.SOUL.md", "new")]),
                true,
            ),
            (board, now(&[("SOUL.md", "new")]), true),
            (gateway, now(&[]), false),
        ] {
            assert_eq!(sources.differ(map, &texts), differ, "{texts:?}");
        }
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
