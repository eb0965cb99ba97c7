//! Tells what a project is built with from its `package.json`.

use std::fs::File;
use std::io::Read;

use super::model::ArchiveFormat;

/// More than this is no hand-written package.json.
const MAX_BYTES: u64 = 256 * 1024;
/// More entries are not looked through: the answer is a label, not worth more.
const MAX_ENTRIES: usize = 5_000;

/// Frameworks from special to general: the first that is among the dependencies names the project.
const KNOWN: &[(&str, &str)] = &[
    ("next", "Next.js"),
    ("nuxt", "Nuxt"),
    ("@sveltejs/kit", "SvelteKit"),
    ("astro", "Astro"),
    ("@angular/core", "Angular"),
    ("@remix-run/react", "Remix"),
    ("svelte", "Svelte"),
    ("vue", "Vue"),
    ("preact", "Preact"),
    ("react", "React"),
    ("express", "Express"),
    ("fastify", "Fastify"),
];

/// The `package.json` in an inspected archive, at the root or in the one folder there.
pub fn package_json(file: File, format: ArchiveFormat) -> Option<String> {
    let wanted = |path: &str| {
        let parts: Vec<&str> = path
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect();
        matches!(parts.as_slice(), ["package.json"] | [_, "package.json"])
    };
    match format {
        ArchiveFormat::TarGz => {
            let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
            for entry in tar.entries().ok()?.take(MAX_ENTRIES) {
                let entry = entry.ok()?;
                let path = entry.path().ok()?.to_string_lossy().into_owned();
                if entry.header().entry_type().is_file() && wanted(&path) {
                    return text(entry);
                }
            }
            None
        }
        ArchiveFormat::Zip => {
            let mut zip = zip::ZipArchive::new(file).ok()?;
            let name = zip
                .file_names()
                .take(MAX_ENTRIES)
                .find(|name| wanted(name))
                .map(str::to_owned)?;
            text(zip.by_name(&name).ok()?)
        }
    }
}

fn text(reader: impl Read) -> Option<String> {
    let mut text = String::new();
    reader.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The framework that a `package.json` names, with Vite where that builds it.
pub fn detect(package: &str) -> Option<String> {
    let package: serde_json::Value = serde_json::from_str(package).ok()?;
    let has = |name: &str| {
        ["dependencies", "devDependencies"].iter().any(|group| {
            package
                .get(group)
                .is_some_and(|group| group.get(name).is_some())
        })
    };
    let framework = KNOWN
        .iter()
        .find(|(name, _)| has(name))
        .map(|(_, label)| *label);
    match (framework, has("vite")) {
        (Some(label @ ("React" | "Vue" | "Svelte" | "Preact")), true) => {
            Some(format!("{label} + Vite"))
        }
        (Some(label), _) => Some(label.to_owned()),
        (None, true) => Some("Vite".to_owned()),
        (None, false) => Some("Node.js".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::detect;

    #[test]
    fn the_most_special_framework_wins() {
        let react = r#"{"dependencies":{"react":"1"},"devDependencies":{"vite":"1"}}"#;
        assert_eq!(detect(react).as_deref(), Some("React + Vite"));
        let next = r#"{"dependencies":{"react":"1","next":"1"}}"#;
        assert_eq!(detect(next).as_deref(), Some("Next.js"));
        assert_eq!(detect("{}").as_deref(), Some("Node.js"));
        assert_eq!(detect("not json"), None);
    }
}
