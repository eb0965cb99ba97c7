//! References between values: `${NAME}` in a value that is expanded. What counts as one is what the vault, which puts the
//! values in, takes for one; here it is only found out early that they would lead nowhere or in a circle.

use std::collections::{BTreeMap, BTreeSet};

/// Each secret's name and the names that its value refers to.
pub type Graph = BTreeMap<String, Vec<String>>;

/// The names that `value` refers to, each once, in the order of the alphabet. `$${NAME}` is text.
pub fn of(value: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('$') {
        rest = after;
        if let Some(escaped) = after.strip_prefix('$')
            && let Some((_, tail)) = braced(escaped)
        {
            rest = tail;
        } else if let Some((name, tail)) = braced(after) {
            found.insert(name.to_owned());
            rest = tail;
        }
    }
    found.into_iter().collect()
}

/// The name in `{NAME}` at the start, and what follows.
fn braced(text: &str) -> Option<(&str, &str)> {
    let (name, tail) = text.strip_prefix('{')?.split_once('}')?;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let digit = name.chars().next().is_none_or(|c| c.is_ascii_digit());
    (!digit && name.chars().all(word)).then_some((name, tail))
}

/// What is wrong with the references that can be followed from `changed`, if anything: a name that is no secret, or a cycle.
pub fn complaint<'a>(graph: &'a Graph, changed: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut done = BTreeSet::new();
    changed
        .into_iter()
        .find_map(|name| walk(graph, name, &mut done))
}

/// Goes down from one name without recursion: a chain may be as long as there are secrets.
fn walk<'a>(graph: &'a Graph, start: &'a str, done: &mut BTreeSet<&'a str>) -> Option<String> {
    let mut path: Vec<(&str, std::slice::Iter<'a, String>)> = Vec::new();
    let mut next = Some(start);
    loop {
        if let Some(name) = next.take()
            && !done.contains(name)
        {
            let from = path.last().map(|(from, _)| *from);
            if path.iter().any(|(on_path, _)| *on_path == name) {
                let on_cycle = path.iter().map(|(on_path, _)| *on_path);
                let mut cycle: Vec<&str> = on_cycle.skip_while(|one| *one != name).collect();
                cycle.push(name);
                return Some(format!(
                    "The references go in a circle: {}. Write one of these values out.",
                    cycle.join(" -> ")
                ));
            }
            match graph.get(name) {
                Some(to) => path.push((name, to.iter())),
                None => {
                    return Some(format!(
                        "{} refers to ${{{name}}}, and there is no secret {name}. Set it first, or write $${{{name}}} for the \
                         text.",
                        from.unwrap_or(name)
                    ));
                }
            }
        }
        match path.last_mut() {
            None => return None,
            Some((name, left)) => match left.next() {
                Some(to) => next = Some(to.as_str()),
                None => {
                    done.insert(*name);
                    path.pop();
                }
            },
        }
    }
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// Each name with those that it refers to, as words.
    pub fn graph(edges: &[(&str, &str)]) -> Graph {
        let of = |(name, to): &(&str, &str)| {
            let to = to.split_whitespace().map(str::to_owned).collect();
            ((*name).to_owned(), to)
        };
        edges.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::graph;
    use super::*;

    /// What the page's script is held to, too.
    #[test]
    fn references_are_what_the_vault_takes_for_them() {
        let vectors = include_str!("../../../tests/vectors/dotenv.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        for case in vectors["references"].as_array().unwrap() {
            let value = case["value"].as_str().unwrap();
            assert_eq!(serde_json::json!(of(value)), case["names"], "{value}");
        }
    }

    #[test]
    fn a_cycle_is_named_and_a_diamond_is_none() {
        let fine = graph(&[("A", "B C"), ("B", "D"), ("C", "D"), ("D", "")]);
        assert_eq!(complaint(&fine, ["A"].into_iter()), None);
        let cycle = graph(&[("A", "B"), ("B", "C"), ("C", "B")]);
        let said = complaint(&cycle, ["A"].into_iter()).unwrap();
        assert!(said.contains("B -> C -> B"), "{said}");
        let itself = graph(&[("A", "A")]);
        assert!(
            complaint(&itself, ["A"].into_iter())
                .unwrap()
                .contains("A -> A")
        );
    }

    #[test]
    fn what_is_not_there_is_named_and_long_chains_are_followed() {
        let said = complaint(&graph(&[("A", "GONE")]), ["A"].into_iter()).unwrap();
        assert!(said.contains("A refers to ${GONE}"), "{said}");
        let long: Vec<(String, String)> = (0..50_000)
            .map(|n| (format!("N{n}"), format!("N{}", n + 1)))
            .collect();
        let edges: Vec<(&str, &str)> = long.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        // The last one is not there, and the search comes to it.
        let mut graph = graph(&edges);
        graph.insert("N50000".to_owned(), Vec::new());
        graph.remove("N40000");
        let said = complaint(&graph, ["N39990"].into_iter()).unwrap();
        assert!(said.contains("N40000"), "{said}");
    }
}
