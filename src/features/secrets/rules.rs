//! What a secret may be called, and what may be its value.

use super::model::DeliveredAs;

/// Names that containers set themselves: a secret must not replace them.
const RESERVED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANG",
    "PWD",
    "OLDPWD",
    "IFS",
    "ENV",
    "BASH_ENV",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "NODE_OPTIONS",
];

/// What the names of containers' own variables begin with.
const PREFIXES: &[&str] = &["LD_", "OPTIDEV_"];

/// Names that are paths of the API and of pages beside the secrets' own.
const PATHS: &[&str] = &["bulk", "containers", "deliver", "export", "import", "run"];

/// The folder of projects' files, beside those of the workspace's secrets.
const PROJECTS: &str = "projects";

/// The names that no secret has, for a page that says so early. Those in capitals stand for any case, those with `*` for
/// whatever begins so.
pub fn reserved() -> String {
    let prefixes = PREFIXES.iter().map(|prefix| format!("{prefix}*"));
    let words = RESERVED.iter().chain(PATHS).map(|name| (*name).to_owned());
    words.chain(prefixes).collect::<Vec<_>>().join(" ")
}

/// Why a name is not taken.
pub fn name_complaint(name: &str) -> Option<String> {
    let mut characters = name.chars();
    let well_formed = characters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 128;
    if !well_formed {
        return Some(format!(
            "{name:?} is not the name of an environment variable: letters, digits and _, not starting with a digit, at \
             most 128 characters."
        ));
    }
    let upper = name.to_ascii_uppercase();
    let begins = PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
    if begins || RESERVED.contains(&upper.as_str()) {
        return Some(format!(
            "{name} is set by the container itself. Choose another name."
        ));
    }
    if PATHS.contains(&name) {
        return Some(format!(
            "{name} has a meaning of its own in the API. Choose another name, such as {upper}."
        ));
    }
    None
}

/// Why a value is not taken.
pub fn value_complaint(value: &str) -> Option<String> {
    if value.is_empty() {
        return Some("The value is empty. To remove a secret, delete it.".to_owned());
    }
    if value.len() > 64 * 1024 {
        return Some(format!(
            "The value has {} bytes; a secret holds at most 65536.",
            value.len()
        ));
    }
    if value.contains('\0') {
        return Some(
            "The value holds a NUL character, which an environment variable cannot. Encode it."
                .to_owned(),
        );
    }
    None
}

/// Why a description is not taken.
pub fn description_complaint(text: Option<&str>) -> Option<String> {
    let long = text.is_some_and(|text| text.chars().count() > 500);
    let nul = text.is_some_and(|text| text.contains('\0'));
    (long || nul).then(|| "description: At most 500 characters, none of them NUL.".to_owned())
}

/// Why a secret of this name cannot be given to containers in this way.
pub fn delivered_as_complaint(name: &str, form: Option<DeliveredAs>) -> Option<String> {
    let file = matches!(form, Some(DeliveredAs::File | DeliveredAs::Both));
    (file && name == PROJECTS).then(|| {
        format!(
            "delivered_as: {name} cannot be a file: below /run/secrets the folder of projects' files has this name. Choose \
             another name, or environment."
        )
    })
}

/// Why an end is not taken.
pub fn expiry_complaint(at_ms: Option<i64>, now_ms: i64) -> Option<String> {
    const CENTURY_MS: i64 = 36_525 * 24 * 60 * 60 * 1_000;
    let at = at_ms?;
    let why = if at <= now_ms {
        "has passed"
    } else if at > now_ms.saturating_add(CENTURY_MS) {
        "is more than a hundred years away"
    } else {
        return None;
    };
    Some(format!(
        "expires_at_ms: {at} {why}. Give a time to come, in milliseconds since 1970."
    ))
}

/// Why declared references are not taken.
pub fn references_complaint(names: Option<&[String]>) -> Option<String> {
    let names = names.unwrap_or_default();
    if names.len() > 100 {
        return Some("references: A value refers to 100 others at most.".to_owned());
    }
    let wrong = names.iter().find_map(|name| name_complaint(name));
    wrong.map(|message| format!("references: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_variables_and_not_the_containers_own() {
        assert!(name_complaint("DATABASE_URL").is_none());
        assert!(name_complaint("BULK").is_none());
        for bad in [
            "",
            "1A",
            "A-B",
            "A B",
            "PATH",
            "ld_preload",
            "OPTIDEV_X",
            "é",
            "bulk",
            &"A".repeat(129),
        ] {
            assert!(name_complaint(bad).is_some(), "{bad}");
        }
    }
}
