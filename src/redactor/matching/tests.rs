//! Which forms are found.

use serde_json::{Value, json};

use super::*;

pub(super) fn patterns(known: &[(&str, &str)]) -> Patterns {
    let known = known.iter().map(|(name, value)| Known {
        name,
        value: value.as_bytes(),
    });
    Patterns::new(known).unwrap().0
}

/// The body afterwards; as it was, without a hit.
pub(super) fn redacted(patterns: &Patterns, body: &str) -> String {
    match patterns.of(body.as_bytes()) {
        None => body.to_owned(),
        Some(redacted) => {
            assert_ne!(redacted.body, body.as_bytes());
            assert!(!redacted.found.is_empty());
            String::from_utf8(redacted.body).unwrap()
        }
    }
}

/// What becomes of a text in a message.
pub(super) fn text(patterns: &Patterns, text: &str) -> String {
    let body = json!({"messages": [{"role": "user", "content": text}]}).to_string();
    let body: Value = serde_json::from_str(&redacted(patterns, &body)).unwrap();
    body["messages"][0]["content"].as_str().unwrap().to_owned()
}

/// By its definition, bit by bit.
pub(super) fn base64(bytes: &[u8], url: bool, pad: bool) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let digits = digits.to_owned() + if url { "-_" } else { "+/" };
    let mut out = String::new();
    for six in bits.as_bytes().chunks(6) {
        let six = format!("{:0<6}", std::str::from_utf8(six).unwrap());
        let digit = usize::from_str_radix(&six, 2).unwrap();
        out.push(digits.as_bytes()[digit] as char);
    }
    while pad && !out.len().is_multiple_of(4) {
        out.push('=');
    }
    out
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Percent encoding that keeps unreserved characters and those in `kept`.
pub(super) fn percent(value: &str, kept: &str) -> String {
    let mut out = String::new();
    for byte in value.bytes() {
        let one = byte as char;
        if one.is_ascii_alphanumeric() || "-._~".contains(one) || kept.contains(one) {
            out.push(one);
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

/// Within quotes, with each character that is not ASCII, or each at all, as its number.
pub(super) fn numbered(value: &str, all: bool) -> String {
    let mut out = String::new();
    for one in value.chars() {
        if all || !one.is_ascii() || one.is_ascii_control() {
            for unit in one.encode_utf16(&mut [0; 2]) {
                out += &format!("\\u{unit:04X}");
            }
        } else if matches!(one, '"' | '\\' | '/') {
            out.extend(['\\', one]);
        } else {
            out.push(one);
        }
    }
    out
}

pub(super) fn quoted(value: &str) -> String {
    let quoted = Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Values with all that is special anywhere.
pub(super) const VALUES: &[&str] = &[
    "hunter22",
    "sk-live-51H8x/Qq+Zz_9",
    "postgres://ada:p%40ss%2Fw0rd@db.internal:5432/app?sslmode=require&x=1",
    "quo\"te\\back/slash'<tag>&amp",
    "two words + plus",
    "pässwörd-€-🔑-geheim",
    "C:\\new\\u0041\\temp",
    "tab\there\nand a second line 22",
];

#[test]
fn each_form_is_found_at_each_nesting() {
    let html = |value: &str| {
        value
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('"', "&#34;")
            .replace('\'', "&#x27;")
    };
    type Write<'a> = &'a dyn Fn(&str) -> String;
    let forms: &[(&str, Write)] = &[
        ("raw", &|value| value.to_owned()),
        ("hex", &|value| hex(value.as_bytes())),
        ("HEX", &|value| hex(value.as_bytes()).to_uppercase()),
        ("percent", &|value| percent(value, "")),
        ("percent, lower", &|value| {
            percent(value, "")
                .replace("%", "%u")
                .to_lowercase()
                .replace("%u", "%")
        }),
        ("encodeURI", &|value| percent(value, "!#$&'()*+,/:;=?@")),
        ("form", &|value| percent(value, "*").replace("%20", "+")),
        ("JSON", &quoted),
        ("JSON in ASCII", &|value| numbered(value, false)),
        ("JSON in numbers", &|value| numbered(value, true)),
        ("JSON in JSON", &|value| quoted(&quoted(value))),
        ("HTML", &html),
        ("JSON in HTML", &|value| html(&quoted(value))),
        ("JSON in an address", &|value| percent(&quoted(value), "")),
    ];
    for value in VALUES {
        // Lower case is another text for letters; the form is for values whose escapes alone have them.
        let patterns = patterns(&[("NAME", value)]);
        for (form, write) in forms {
            if *form == "percent, lower" && value.to_lowercase() != **value {
                continue;
            }
            let mut before = format!("curl <{}> now", write(value));
            let mut after = "curl <$NAME> now".to_owned();
            for nesting in 0..4 {
                assert_eq!(
                    text(&patterns, &before),
                    after,
                    "{form} of {value} at {nesting}"
                );
                before = json!({"output": before, "n": nesting}).to_string();
                after = json!({"output": after, "n": nesting}).to_string();
            }
        }
    }
}

#[test]
fn base64_is_found_at_each_place_of_a_group() {
    for value in VALUES {
        let patterns = patterns(&[("NAME", value)]);
        for before in ["", "u", "u:", "user:"] {
            for after in ["", "\n", "..", "..."] {
                for (url, pad) in [(false, true), (false, false), (true, true), (true, false)] {
                    let whole = format!("{before}{value}{after}");
                    let encoded = base64(whole.as_bytes(), url, pad);
                    // What no neighbour has a bit of.
                    let (start, end) = (before.len(), before.len() + value.len());
                    let (start, end) = ((start * 8).div_ceil(6), end * 8 / 6);
                    let (left, right) = (&encoded[..start], &encoded[end..]);
                    let word = |one: char| one.is_ascii_alphanumeric() || one == '_';
                    let name = if right.starts_with(word) {
                        "${NAME}"
                    } else {
                        "$NAME"
                    };
                    assert_eq!(
                        text(&patterns, &format!("Authorization: Basic {encoded}")),
                        format!("Authorization: Basic {left}{name}{right}"),
                        "{whole:?}"
                    );
                }
            }
        }
    }
}

const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n\
    MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu\n\
    NMoSfm76oqFvAp8Gy0iz5sxjZmSnXyCdPEovGhLa0VzMaQ8s+CLOyS56YyCFGeJZ\n\
    qgtzJ6GR3eqoYSW9b9UMvkBpZODSctWSNGj3P7jRFDO5Qg==\n\
    -----END PRIVATE KEY-----\n";

#[test]
fn a_key_is_found_whole_in_its_lines_and_broken_anew() {
    let ends = KEY.replace('\n', "\r\n");
    let written_out = KEY.trim().replace('\n', "\\n");
    let ended = written_out.clone() + "\\n";
    for value in [KEY, &ends, &written_out, &ended] {
        let patterns = patterns(&[("KEY", value)]);
        for whole in [KEY, &ends, &written_out] {
            assert_eq!(text(&patterns, &format!("<{}>", whole.trim())), "<$KEY>");
            let file = json!({"private_key": whole}).to_string();
            assert_eq!(text(&patterns, &file).matches("$KEY").count(), 1);
        }
        // What a tool shows when it cuts.
        let lines: Vec<&str> = KEY.lines().collect();
        let cut = lines[..3].join("\n");
        assert_eq!(
            text(&patterns, &cut),
            "-----BEGIN PRIVATE KEY-----\n$KEY\n$KEY"
        );
        let numbered = format!("  2\t{}\n  4\t{}", lines[2], lines[4]);
        assert_eq!(text(&patterns, &numbered), "  2\t$KEY\n  4\t$KEY");
        assert_eq!(text(&patterns, &hex(lines[3].as_bytes())), "$KEY");
        // The same key with other line ends within, as another tool writes it.
        let body: String = lines[1..5].concat();
        let anew: Vec<&str> = body
            .as_bytes()
            .chunks(76)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        let anew = text(
            &patterns,
            &format!("cert: |\n    {}\n", anew.join("\n    ")),
        );
        assert!(!anew.contains(&lines[2][20..50]), "{anew}");
    }
}

#[test]
fn what_base64_and_xxd_break_into_lines_is_found() {
    let value = "a-service-account-token/".to_owned() + &"0123456789abcdefghijklmnop".repeat(5);
    let patterns = patterns(&[("TOKEN", &value)]);
    let wrap = |text: &str, width: usize, end: &str| {
        let lines = text.as_bytes().chunks(width);
        let lines: Vec<&str> = lines
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        lines.join(end)
    };
    let encoded = base64(format!("TOKEN={value}\n").as_bytes(), false, true);
    let (left, right) = (&encoded[..8], &encoded[(6 + value.len()) * 8 / 6..]);
    for end in ["\n", "\r\n", "\n    ", "\\\n"] {
        for width in [64, 76] {
            let shown = format!("$ base64 .env\n{}\n$ ", wrap(&encoded, width, end));
            assert_eq!(
                text(&patterns, &shown),
                format!("$ base64 .env\n{left}${{TOKEN}}{right}\n$ ")
            );
        }
        let shown = wrap(&hex(value.as_bytes()), 60, end);
        assert_eq!(text(&patterns, &shown), "$TOKEN");
    }
    // Lines that are no base64 stay two lines.
    assert_eq!(
        text(&patterns, &wrap(&value, 30, "\n")),
        wrap(&value, 30, "\n")
    );
}

#[test]
fn bytes_that_are_no_text_are_found_encoded_and_in_a_body_that_is_no_json() {
    let key = [
        0x9f, 0x01, 0xff, 0xc3, 0x28, 0x00, 0xfe, 0x10, 0xa0, 0xa1, 0xa2,
    ];
    let (patterns, unlooked) = Patterns::new([Known {
        name: "KEY",
        value: &key,
    }])
    .unwrap();
    assert!(unlooked.is_empty());
    assert_eq!(text(&patterns, &hex(&key)), "$KEY");
    assert!(text(&patterns, &base64(&key, true, false)).starts_with("${KEY}"));
    let escaped: String = key.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    assert_eq!(text(&patterns, &format!("b'{escaped}'")), "b'$KEY'");
    let body = [b"\x00\x01", &key[..], b"\xff"].concat();
    assert_eq!(patterns.of(&body).unwrap().body, b"\x00\x01$KEY\xff");
    // It begins within a character of a text that is valid.
    let half = [0xa9, b'h', b'u', b'n', b't', b'e', b'r', b'2'];
    let (patterns, _) = Patterns::new([Known {
        name: "KEY",
        value: &half,
    }])
    .unwrap();
    assert_eq!(text(&patterns, "é hunter2 éhunter22"), "é hunter2 ${KEY}2");
    // What a program prints of it.
    let printed = [b"hunter22\xff".as_slice(), b"hunter33"].concat();
    let (patterns, _) = Patterns::new([Known {
        name: "KEY",
        value: &printed,
    }])
    .unwrap();
    assert_eq!(text(&patterns, "hunter22\u{fffd}hunter33"), "$KEY");
}

#[test]
fn base64_of_a_file_that_holds_a_value_in_json_is_found() {
    let patterns = patterns(&[("NAME", "quo\"te\\back22")]);
    for before in ["", "a", "ab"] {
        let file = format!("{before}{}", json!({"password": "quo\"te\\back22"}));
        let out = text(&patterns, &base64(file.as_bytes(), false, true));
        assert!(out.contains("NAME"), "{out}");
    }
}

#[test]
fn white_space_around_a_value_does_not_count() {
    let patterns = patterns(&[("NAME", " hunter22\r\n")]);
    assert_eq!(text(&patterns, "hunter22\nls"), "$NAME\nls");
}
