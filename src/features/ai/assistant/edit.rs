//! The rules of editing text, and how a change is shown. Pure.

use std::time::Duration;

use similar::{Algorithm, TextDiff};

/// Longest diff that is shown, in bytes.
const LONGEST_DIFF: usize = 60 * 1024;

/// Replaces `old` by `new` in `text`: the one place where it stands, or every one.
///
/// # Errors
/// A sentence for the model, when `old` is not there, or is there more than once and `every` is not set.
pub fn replace(text: &str, old: &str, new: &str, every: bool) -> Result<String, String> {
    if old.is_empty() {
        return Err(
            "old_text is empty. Give the text to replace, or use write for a whole file."
                .to_owned(),
        );
    }
    if old == new {
        return Err("old_text and new_text are the same: nothing would change.".to_owned());
    }
    // Models write line feeds; a file with carriage returns keeps them.
    let windows = text.contains("\r\n") && !text.contains(old);
    let (old, new) = if windows {
        (
            old.replace("\r\n", "\n").replace('\n', "\r\n"),
            new.replace("\r\n", "\n").replace('\n', "\r\n"),
        )
    } else {
        (old.to_owned(), new.to_owned())
    };
    match text.matches(&old).count() {
        0 => Err("old_text is not in the file. Read the file again and copy the text exactly, white space included.".to_owned()),
        1 => Ok(text.replacen(&old, &new, 1)),
        _ if every => Ok(text.replace(&old, &new)),
        count => Err(format!(
            "old_text is in the file {count} times. Give more of the text around it, or set replace_all."
        )),
    }
}

/// A unified diff with three lines of context, cut when it is long.
pub fn unified(path: &str, old: Option<&[u8]>, new: &str) -> String {
    let old_text = match old {
        None => "",
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) => {
                return format!(
                    "Binary file {path} was replaced by text of {} bytes.\n",
                    new.len()
                );
            }
        },
    };
    let before = if old.is_some() {
        format!("a/{path}")
    } else {
        "/dev/null".to_owned()
    };
    let diff = TextDiff::configure()
        .algorithm(Algorithm::Myers)
        // A large rewrite is shown less finely rather than late.
        .timeout(Duration::from_secs(1))
        .diff_lines(old_text, new);
    let text = diff
        .unified_diff()
        .context_radius(3)
        .header(&before, &format!("b/{path}"))
        .to_string();
    cut(text)
}

fn cut(mut text: String) -> String {
    if text.len() <= LONGEST_DIFF {
        return text;
    }
    let mut end = LONGEST_DIFF;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let end = text
        .get(..end)
        .and_then(|kept| kept.rfind('\n'))
        .map_or(end, |at| at + 1);
    let left = text.len() - end;
    text.truncate(end);
    text.push_str(&format!(
        "... {left} more bytes of this diff are not shown ...\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_or_every_place() {
        assert_eq!(replace("a b c", "b", "x", false).as_deref(), Ok("a x c"));
        assert_eq!(replace("a b b", "b", "x", true).as_deref(), Ok("a x x"));
        assert!(
            replace("a b b", "b", "x", false)
                .unwrap_err()
                .contains("2 times")
        );
        assert!(
            replace("a", "b", "x", true)
                .unwrap_err()
                .contains("not in the file")
        );
        assert!(replace("a", "", "x", false).is_err() && replace("a", "a", "a", false).is_err());
        // What replaces is not searched again.
        assert_eq!(replace("aa", "a", "aa", true).as_deref(), Ok("aaaa"));
    }

    #[test]
    fn carriage_returns_stay() {
        assert_eq!(
            replace("one\r\ntwo\r\nthree\r\n", "one\ntwo", "1\n2", false).as_deref(),
            Ok("1\r\n2\r\nthree\r\n")
        );
        assert_eq!(
            replace("one\r\ntwo\r\n", "two", "2", false).as_deref(),
            Ok("one\r\n2\r\n")
        );
    }

    #[test]
    fn changes_show_as_diffs() {
        let diff = unified(
            "a.txt",
            Some(b"1\n2\n3\n4\n5\n6\n7\n8\n"),
            "1\n2\n3\n4\nfive\n6\n7\n8\n",
        );
        assert!(
            diff.starts_with("--- a/a.txt\n+++ b/a.txt\n@@ -2,7 +2,7 @@\n"),
            "{diff}"
        );
        assert!(
            diff.contains("-5\n+five\n") && !diff.contains(" 1\n"),
            "{diff}"
        );
        assert!(
            unified("n.txt", None, "hi\n")
                .starts_with("--- /dev/null\n+++ b/n.txt\n@@ -0,0 +1 @@\n+hi\n")
        );
        assert!(unified("b", Some(&[0xff, 0]), "x").starts_with("Binary"));
        let long = unified("l", None, &"ü line\n".repeat(20_000));
        assert!(long.len() < LONGEST_DIFF + 100 && long.ends_with("not shown ...\n"));
    }
}
