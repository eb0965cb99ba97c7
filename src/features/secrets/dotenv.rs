//! `.env` files: read, with what is wrong told by line, and written so that they read the same again.
//!
//! A line is empty, a comment after `#`, or `NAME=value`, with `export ` before it or not. A value is
//!
//! - as it stands, without space around it, up to the line's end or a `#` after space;
//! - between single quotes, over several lines if need be, with nothing in it that means something else;
//! - between double quotes, over several lines if need be, where `\n`, `\r`, `\t`, `\\`, `\"` and `\$` stand for one
//!   character; a backslash before any other character is itself.
//!
//! Lines end in LF or CRLF, in quotes too. What always holds: any text has an answer, and no complaint holds a value.

use std::fmt::Write as _;

use crate::kernel::SecretString;

/// What is in a file.
#[derive(Default)]
pub struct Parsed {
    /// What was understood, in its order. A name may come twice; it may be none that a variable can have.
    pub entries: Vec<Entry>,
    /// What was not.
    pub mistakes: Vec<Mistake>,
}

/// A name and its value.
pub struct Entry {
    /// The line that it starts on, from 1.
    pub line: usize,
    /// The name.
    pub name: String,
    /// The value.
    pub value: SecretString,
}

/// What could not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line that it starts on, from 1.
    pub line: usize,
    /// What is wrong and what to do, without a part of the file.
    pub message: &'static str,
}

/// Reads a file.
#[must_use]
pub fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    while !rest.is_empty() {
        let statement = statement(rest);
        match statement.found {
            Ok(None) => {}
            Ok(Some((name, value))) => parsed.entries.push(Entry { line, name, value }),
            Err(message) => parsed.mistakes.push(Mistake { line, message }),
        }
        let taken = rest.len() - statement.rest.len();
        let lines = rest.bytes().take(taken).filter(|byte| *byte == b'\n');
        line += lines.count();
        rest = statement.rest;
    }
    parsed
}

/// A line as a file has it, which [`parse`] reads as the same name and value.
pub fn write(file: &mut String, name: &str, value: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    file.push_str(name);
    if !value.is_empty() && value.chars().all(plain) {
        let _ = writeln!(file, "={value}");
        return;
    }
    file.push_str("=\"");
    for c in value.chars() {
        match c {
            '\n' => file.push_str("\\n"),
            '\r' => file.push_str("\\r"),
            '\t' => file.push_str("\\t"),
            '\\' | '"' | '$' => file.extend(['\\', c]),
            c => file.push(c),
        }
    }
    file.push_str("\"\n");
}

struct Statement<'t> {
    found: Result<Option<(String, SecretString)>, &'static str>,
    /// What follows; always less than there was.
    rest: &'t str,
}

/// The first line, with those that its quotes reach over.
fn statement(text: &str) -> Statement<'_> {
    let (line, next) = first_line(text);
    let done = |found| Statement { found, rest: next };
    let content = line.trim_start();
    if content.trim_end().is_empty() || content.starts_with('#') {
        return done(Ok(None));
    }
    let Some((before, _)) = line.split_once('=') else {
        return done(Err(
            "There is no = in it. Write NAME=value, or # before a comment.",
        ));
    };
    let name = before.trim();
    let exported = name.strip_prefix("export");
    let name = exported
        .filter(|name| name.starts_with([' ', '\t']))
        .map_or(name, str::trim);
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || "\"'#`".contains(c)) {
        return done(Err("There is no name before the =. Write NAME=value."));
    }
    let after = text.get(before.len() + 1..).unwrap_or_default();
    let value = after.trim_start_matches([' ', '\t']);
    let quoted = if let Some(body) = value.strip_prefix('\'') {
        single_quoted(body)
    } else if let Some(body) = value.strip_prefix('"') {
        double_quoted(body)
    } else {
        let spaced = value.len() < after.len();
        let value = unquoted(first_line(value).0, spaced);
        return done(Ok(Some((name.to_owned(), value))));
    };
    let Some((value, after)) = quoted else {
        // All that follows may be meant to be in the quotes: none of it is taken for a name.
        return Statement {
            found: Err("A quote is opened and never closed. Close it."),
            rest: "",
        };
    };
    let (tail, rest) = first_line(after);
    let tail = tail.trim();
    let found = if tail.is_empty() || tail.starts_with('#') {
        Ok(Some((name.to_owned(), value)))
    } else {
        Err(
            "Something follows the closing quote. Put all of the value into the quotes, with \\\" for one inside.",
        )
    };
    Statement { found, rest }
}

/// Up to and with the first line's end, and what follows.
fn first_line(text: &str) -> (&str, &str) {
    let end = text.find('\n').map_or(text.len(), |at| at + 1);
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// `spaced`: whether there was space before, after which `#` begins a comment.
fn unquoted(line: &str, mut spaced: bool) -> SecretString {
    let mut end = line.len();
    for (at, c) in line.char_indices() {
        if c == '#' && spaced {
            end = at;
            break;
        }
        spaced = c.is_whitespace();
    }
    SecretString::from(line.get(..end).unwrap_or_default().trim())
}

fn single_quoted(body: &str) -> Option<(SecretString, &str)> {
    let (value, after) = body.split_once('\'')?;
    Some((SecretString::from(value.replace("\r\n", "\n")), after))
}

fn double_quoted(body: &str) -> Option<(SecretString, &str)> {
    let mut value = String::new();
    let mut characters = body.chars();
    loop {
        match characters.next()? {
            '"' => return Some((SecretString::from(value), characters.as_str())),
            '\\' => match characters.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                c @ ('\\' | '"' | '$') => value.push(c),
                '\r' if characters.as_str().starts_with('\n') => value.push('\\'),
                c => value.extend(['\\', c]),
            },
            '\r' if characters.as_str().starts_with('\n') => {}
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Vec<(usize, String, String)> {
        let entries = parse(text).entries.into_iter();
        entries
            .map(|entry| (entry.line, entry.name, entry.value.expose().clone()))
            .collect()
    }

    /// What the page's script is held to, too.
    #[test]
    fn files_are_read_as_the_vectors_say() {
        let vectors = include_str!("../../../tests/vectors/dotenv.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        for case in vectors["cases"].as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let parsed = parse(text);
            let entries: Vec<_> = read(text)
                .into_iter()
                .map(|(line, name, value)| json!([line, name, value]))
                .collect();
            assert_eq!(json!(entries), case["entries"], "{text:?}");
            let mistakes = parsed.mistakes.iter();
            let mistakes: Vec<_> = mistakes
                .map(|mistake| json!([mistake.line, mistake.message]))
                .collect();
            assert_eq!(json!(mistakes), case["mistakes"], "{text:?}");
        }
    }

    /// Numbers that look random and are the same each time (xorshift64).
    struct Chance(u64);

    impl Chance {
        fn text(&mut self, longest: u64) -> String {
            const ALPHABET: &[char] = &[
                'A', 'b', '1', '_', '=', '"', '\'', '\\', '\n', '\r', '\t', ' ', '#', '$', '{',
                '}', '`', 'é', '\u{2028}', '\u{feff}', 'n', '🦀', 'e', 'x', 'p', 'o', 'r', 't',
                '\0',
            ];
            let length = self.next() % longest;
            (0..length)
                .map(|_| ALPHABET[usize::try_from(self.next()).unwrap() % ALPHABET.len()])
                .collect()
        }

        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }
    }

    #[test]
    fn any_text_has_an_answer() {
        let mut chance = Chance(0x5eed_0001);
        for _ in 0..50_000 {
            let text = chance.text(60);
            let parsed = parse(&text);
            let lines = text.split('\n').count();
            let all = parsed.entries.iter().map(|entry| entry.line);
            let all = all.chain(parsed.mistakes.iter().map(|mistake| mistake.line));
            assert!(
                all.into_iter().all(|line| (1..=lines).contains(&line)),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut chance = Chance(0x5eed_0002);
        for _ in 0..5_000 {
            let values: Vec<String> = (0..4).map(|_| chance.text(30)).collect();
            let mut file = String::new();
            for (number, value) in values.iter().enumerate() {
                write(&mut file, &format!("N{number}"), value);
            }
            let parsed = read(&file);
            let back: Vec<&String> = parsed.iter().map(|(_, _, value)| value).collect();
            assert_eq!(back, values.iter().collect::<Vec<_>>(), "{file}");
            // With the other line's end, too.
            let parsed = read(&file.replace('\n', "\r\n"));
            assert_eq!(parsed.len(), values.len());
        }
    }
}
