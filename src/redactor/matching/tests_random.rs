//! Random bodies with values planted in random forms: nothing is left, and nothing else is changed.

use serde_json::Value;

use super::tests::{VALUES, base64, hex, numbered, patterns, percent, quoted};

/// Bodies in each test. A hundred times as many have been tried.
const ROUNDS: u64 = 200;

/// The same seeds each time, so that a failure can be looked at.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// A part of a body: what it is before, and afterwards if that is something else.
#[derive(Clone)]
struct Part(String, Option<String>);

fn plain(text: &str) -> Vec<Part> {
    text.chars()
        .map(|one| Part(one.to_string(), None))
        .collect()
}

/// Each character as some client may write it within a JSON string. What was put in is written as it is.
fn written(dice: &mut Dice, parts: Vec<Part>) -> Vec<Part> {
    let one = |dice: &mut Dice, one: char| match (one, dice.below(12)) {
        (_, 0) => numbered(&one.to_string(), true).to_lowercase(),
        (_, 1) => numbered(&one.to_string(), true).replace("\\U", "\\u"),
        ('/', 2..6) => "\\/".to_owned(),
        _ => quoted(&one.to_string()),
    };
    let mut out = Vec::new();
    for Part(before, after) in parts {
        let before = before.chars().map(|it| one(dice, it)).collect();
        out.push(Part(before, after));
    }
    out
}

fn filler(dice: &mut Dice) -> String {
    let all: Vec<char> = "abcxyz019 \"\\/%&;$'<>{}[]()=.-_é€🔑\n\t".chars().collect();
    let len = dice.below(12);
    (0..len).map(|_| dice.one(&all)).collect()
}

/// A value in some form, with what stands around it.
fn planted(dice: &mut Dice) -> Vec<Part> {
    let index = dice.below(VALUES.len());
    let value = VALUES[index];
    let word = dice.below(4) == 0;
    let name = |braced: bool| match braced {
        true => format!("${{V{index}}}"),
        false => format!("$V{index}"),
    };
    let mut out = plain(dice.one(&[" ", "(", "'", "\"", "<", ",", "\n", "=", "é"]));
    if dice.below(4) == 0 {
        let around = ["", "a", "ab", "a:b", "?>?>"];
        let (before, after) = (dice.one(&around), dice.one(&around));
        let whole = format!("{before}{value}{after}");
        let encoded = base64(whole.as_bytes(), dice.below(2) == 0, dice.below(2) == 0);
        let (start, end) = (before.len() * 8, (before.len() + value.len()) * 8);
        let (start, end) = (start.div_ceil(6), end / 6);
        let next = encoded[end..].chars().next();
        let braced = next.map_or(word, |next| next.is_ascii_alphanumeric() || next == '_');
        out.extend(plain(&encoded[..start]));
        out.push(Part(encoded[start..end].to_owned(), Some(name(braced))));
        out.extend(plain(&encoded[end..]));
    } else {
        let form = match dice.below(9) {
            0 => hex(value.as_bytes()),
            1 => hex(value.as_bytes()).to_uppercase(),
            2 => percent(value, ""),
            3 => percent(value, "!#$&'()*+,/:;=?@"),
            4 => percent(value, "").replace("%20", "+"),
            5 => quoted(value),
            6 => numbered(value, dice.below(2) == 0),
            _ => value.to_owned(),
        };
        out.push(Part(form, Some(name(word))));
    }
    let after = if word {
        "x"
    } else {
        dice.one(&[" ", ")", "'", "\"", ">", ",", "\n", "é"])
    };
    out.extend(plain(after));
    out
}

fn text(dice: &mut Dice, nesting: usize) -> Vec<Part> {
    let mut out = plain(&filler(dice));
    for _ in 0..dice.below(4) {
        match dice.below(5) {
            0 | 1 => out.extend(planted(dice)),
            2 if nesting < 3 => out.extend(value(dice, nesting + 1, 2)),
            _ => out.extend(plain(&filler(dice))),
        }
    }
    out
}

fn string(dice: &mut Dice, nesting: usize) -> Vec<Part> {
    let text = text(dice, nesting);
    let mut out = plain("\"");
    out.extend(written(dice, text));
    out.extend(plain("\""));
    out
}

fn value(dice: &mut Dice, nesting: usize, depth: usize) -> Vec<Part> {
    let space = dice.one(&["", "", " ", "\n  "]);
    let mut out = plain(space);
    match dice.below(if depth < 4 { 8 } else { 4 }) {
        0 => out.extend(plain(
            dice.one(&["true", "null", "-1.5e3", "0", "[]", "{}", "\"\""]),
        )),
        1..4 => out.extend(string(dice, nesting)),
        kind => {
            let object = kind < 6;
            out.extend(plain(if object { "{" } else { "[" }));
            for index in 0..=dice.below(3) {
                out.extend(plain(if index > 0 { "," } else { "" }));
                if object {
                    out.extend(string(dice, nesting));
                    out.extend(plain(": "));
                }
                out.extend(value(dice, nesting, depth + 1));
            }
            out.extend(plain(if object { "}" } else { "]" }));
        }
    }
    out.extend(plain(space));
    out
}

/// A block that the provider checks. What is in it stays.
fn thinking(dice: &mut Dice) -> Vec<Part> {
    let text = text(dice, 1);
    let mut out = plain("{\"thinking\": \"");
    out.extend(
        written(dice, text)
            .into_iter()
            .map(|Part(before, _)| Part(before, None)),
    );
    out.extend(plain("\", \"type\": \"thinking\"}"));
    out
}

fn body(dice: &mut Dice) -> Vec<Part> {
    let mut out = plain("{\"messages\": [{\"role\": \"assistant\", \"content\": [");
    for _ in 0..dice.below(3) {
        out.extend(thinking(dice));
        out.extend(plain(", "));
    }
    out.extend(value(dice, 0, 0));
    out.extend(plain("]}], \"x\": "));
    out.extend(value(dice, 0, 0));
    out.extend(plain("}"));
    out
}

/// What no text that is left may hold, found without any of the code that is tried.
fn forms() -> Vec<String> {
    let mut all = Vec::new();
    for value in VALUES {
        let bytes = value.as_bytes();
        all.extend([(*value).to_owned(), hex(bytes), hex(bytes).to_uppercase()]);
        all.extend([percent(value, ""), percent(value, "!#$&'()*+,/:;=?@")]);
        all.extend([
            quoted(value),
            quoted(&quoted(value)),
            quoted(&quoted(&quoted(value))),
        ]);
        all.extend([numbered(value, false), numbered(value, true)]);
        for (before, url) in [
            ("", false),
            ("a", false),
            ("ab", false),
            ("", true),
            ("a", true),
            ("ab", true),
        ] {
            let encoded = base64(format!("{before}{value}").as_bytes(), url, false);
            let (start, end) = (before.len() * 8, (before.len() + value.len()) * 8);
            all.push(encoded[start.div_ceil(6)..end / 6].to_owned());
        }
    }
    all
}

fn texts(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::String(text) => all.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|one| texts(one, all)),
        Value::Object(map) if map.get("type").is_some_and(|it| it == "thinking") => {}
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            all.push(key.clone());
            texts(value, all);
        }),
        _ => {}
    }
}

/// Every text, and every text that is said in one of them by JSON.
fn nested(text: String, all: &mut Vec<String>) {
    let mut inner = Vec::new();
    for (at, _) in text.char_indices().filter(|(_, one)| "{[\"".contains(*one)) {
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
        if let Some(Ok(value)) = values.next() {
            texts(&value, &mut inner);
        }
    }
    all.push(text);
    inner.into_iter().for_each(|one| nested(one, all));
}

#[test]
fn what_is_planted_is_replaced_and_nothing_else() {
    let names: Vec<String> = (0..VALUES.len()).map(|index| format!("V{index}")).collect();
    let known = names.iter().map(String::as_str).zip(VALUES.iter().copied());
    let patterns = patterns(&known.collect::<Vec<_>>());
    let forms = forms();
    let mut hits = 0;
    for seed in 1..=ROUNDS {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let parts = body(&mut dice);
        let before: String = parts
            .iter()
            .map(|Part(before, _)| before.as_str())
            .collect();
        let after = parts
            .iter()
            .map(|Part(before, after)| after.as_ref().unwrap_or(before).as_str());
        let after: String = after.collect();
        serde_json::from_str::<Value>(&before).unwrap();
        let planted = parts
            .iter()
            .filter(|Part(_, after)| after.is_some())
            .count();
        let Some(out) = patterns.of(before.as_bytes()) else {
            assert_eq!(planted, 0, "seed {seed}");
            continue;
        };
        let body = String::from_utf8(out.body).unwrap();
        if body != after {
            let same = body
                .bytes()
                .zip(after.bytes())
                .take_while(|(one, other)| one == other)
                .count();
            let near = |text: &str| {
                let bytes = &text.as_bytes()[same.saturating_sub(30)..(same + 200).min(text.len())];
                String::from_utf8_lossy(bytes).into_owned()
            };
            panic!("seed {seed}:\n{}\nand not\n{}", near(&body), near(&after));
        }
        let found: u32 = out.found.iter().map(|(_, times)| times).sum();
        assert_eq!(found as usize, planted, "seed {seed}");
        let value: Value = serde_json::from_str(&body).unwrap();
        let (mut outer, mut all) = (Vec::new(), Vec::new());
        texts(&value, &mut outer);
        outer.into_iter().for_each(|one| nested(one, &mut all));
        for text in &all {
            for form in &forms {
                assert!(
                    !text.contains(form.as_str()),
                    "seed {seed}: {form} in {text}"
                );
            }
        }
        assert!(patterns.of(body.as_bytes()).is_none(), "seed {seed}");
        hits += planted;
    }
    assert!(hits as u64 > ROUNDS, "{hits}");
}

#[test]
fn a_body_that_is_cut_or_damaged_holds_nothing_either() {
    let known: Vec<(&str, &str)> = VALUES.iter().map(|value| ("NAME", *value)).collect();
    let patterns = patterns(&known);
    for seed in 1..=ROUNDS {
        let mut dice = Dice(0xc2b2_ae3d_27d4_eb4f_u64.wrapping_mul(seed));
        let parts = body(&mut dice);
        let mut bytes: Vec<u8> = parts
            .iter()
            .flat_map(|Part(before, _)| before.bytes())
            .collect();
        let at = dice.below(bytes.len());
        match dice.below(3) {
            0 => bytes.truncate(at),
            1 => bytes[at] = dice.below(256) as u8,
            _ => drop(bytes.remove(at)),
        }
        if let Some(out) = patterns.of(&bytes) {
            assert!(patterns.of(&out.body).is_none(), "seed {seed}");
        }
    }
}
