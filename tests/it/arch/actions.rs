//! The audit log's list of actions holds no word that nothing writes.

use std::fs;
use std::path::Path;

/// All actions: name in the source, and word in the log.
pub fn all() -> Vec<(String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/features/audit/action.rs");
    let text = fs::read_to_string(file).unwrap();
    let list = text.split("\nactions! {").nth(1).unwrap();
    let list = list.split("\n}").next().unwrap();
    let rows = list.lines().filter(|line| !line.trim().is_empty());
    rows.map(|line| {
        let (name, rest) = line.trim().split_once(" \"").unwrap();
        (name.to_owned(), rest.split('"').next().unwrap().to_owned())
    })
    .collect()
}

#[test]
fn each_action_is_written_somewhere() {
    let sources = super::sources(&["src"], &["rs"]);
    let written = |name: &str| {
        let used = format!("Action::{name}");
        sources.iter().any(|source| {
            let product = source.path != "src/features/audit/action.rs"
                && !source.path.contains("/tests/")
                && !source.path.ends_with("testing.rs");
            let code = source.text.split("#[cfg(test)]").next().unwrap();
            product
                && code.match_indices(&used).any(|(at, _)| {
                    let after = code[at + used.len()..].chars().next();
                    !after.is_some_and(char::is_alphanumeric)
                })
        })
    };
    let all = all();
    assert!(all.len() > 50, "the list was not read: {all:?}");
    let dead: Vec<&str> = all
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !written(name))
        .collect();
    assert_eq!(dead, Vec::<&str>::new(), "nothing writes them");
}
