//! Looks for values in bytes, as they are and in every encoding in which something may have written them down.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

/// What is looked for: many values in one pass.
pub struct Search {
    /// Name of the value, name of the encoding, bytes.
    needles: Vec<(String, &'static str, Vec<u8>)>,
    /// Which needles begin with these three bytes.
    starts: HashMap<u32, Vec<usize>>,
    /// Whether any does: asked for each byte of a memory dump, so it is no map.
    may_start: Vec<bool>,
}

impl Search {
    pub fn new<'a>(values: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut search = Self {
            needles: Vec::new(),
            starts: HashMap::new(),
            may_start: vec![false; 1 << 24],
        };
        for (name, value) in values {
            assert!(value.len() >= 12, "{name} could be found by chance");
            for (encoding, needle) in encodings(value) {
                let start = needle[..3]
                    .iter()
                    .fold(0, |all, byte| all << 8 | u32::from(*byte));
                search.may_start[start as usize] = true;
                let at = search.needles.len();
                search.starts.entry(start).or_default().push(at);
                search.needles.push((name.to_owned(), encoding, needle));
            }
        }
        search
    }

    /// Name and encoding of everything that is in `bytes`, with what stands around it, for whoever looks for the reason.
    pub fn within(&self, bytes: &[u8]) -> BTreeMap<(String, &'static str), String> {
        const PAGE: [u8; 4096] = [0; 4096];
        let mut found = BTreeMap::new();
        let (mut start, mut next) = (0_u32, 0);
        while next < bytes.len() {
            // Most of a dump is empty, and no needle is.
            if next % PAGE.len() == 0 && bytes[next..].starts_with(&PAGE) {
                (start, next) = (0, next + PAGE.len());
                continue;
            }
            let at = next;
            next += 1;
            start = (start << 8 | u32::from(bytes[at])) & 0xff_ffff;
            if at < 2 || !self.may_start[start as usize] {
                continue;
            }
            for number in &self.starts[&start] {
                let (name, encoding, needle) = &self.needles[*number];
                if bytes[at - 2..].starts_with(needle) {
                    let around = &bytes[(at - 2).saturating_sub(80)..(at + 120).min(bytes.len())];
                    let around = around.escape_ascii().to_string();
                    found.insert((name.clone(), *encoding), around);
                }
            }
        }
        found
    }
}

/// The forms of `value`; those that are the same as another are left out.
pub fn encodings(value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![("raw", value.to_vec())];
    for (skip, name) in ["base64", "base64 + 1", "base64 + 2"]
        .into_iter()
        .enumerate()
    {
        all.push((name, base64(value, skip, false)));
        all.push((name, base64(value, skip, true)));
    }
    let hex = |upper: bool| -> Vec<u8> {
        let digit = |byte: &u8| {
            if upper {
                format!("{byte:02X}")
            } else {
                format!("{byte:02x}")
            }
        };
        value.iter().map(digit).collect::<String>().into_bytes()
    };
    all.extend([("hex", hex(false)), ("hex", hex(true))]);
    if let Ok(text) = std::str::from_utf8(value) {
        let form: String = url::form_urlencoded::byte_serialize(value).collect();
        all.push(("url", form.replace('+', "%20").into_bytes()));
        all.push(("form", form.into_bytes()));
        let json = serde_json::to_string(text).unwrap();
        let json = &json[1..json.len() - 1];
        let again = serde_json::to_string(json).unwrap();
        all.push(("json", json.as_bytes().to_vec()));
        all.push((
            "json in json",
            again.as_bytes()[1..again.len() - 1].to_vec(),
        ));
        for (double, and) in [("&#34;", "&#38;"), ("&quot;", "&amp;")] {
            let html = text.replace('&', and).replace('"', double);
            all.push(("html", html.into_bytes()));
        }
    }
    let mut seen = BTreeSet::new();
    all.retain(|(_, needle)| seen.insert(needle.clone()));
    all
}

/// What base64 makes of `value` when `skip` bytes, modulo three, stand before it: without the characters that depend on them
/// or on what follows.
fn base64(value: &[u8], skip: usize, for_urls: bool) -> Vec<u8> {
    let mut padded = vec![0; skip];
    padded.extend_from_slice(value);
    let text = if for_urls {
        BASE64_URL_SAFE_NO_PAD.encode(&padded)
    } else {
        BASE64_STANDARD_NO_PAD.encode(&padded)
    };
    let first = [0, 2, 3][skip];
    text.as_bytes()[first..padded.len() * 8 / 6].to_vec()
}

#[test]
fn a_value_is_found_in_each_encoding_wherever_it_stands() {
    let value = "cnry \"self\" & test/+?é 0123456789";
    let search = Search::new([("it", value.as_bytes()), ("other", b"something else")]);
    let base64 = base64::prelude::BASE64_STANDARD;
    let mut written: Vec<(&'static str, Vec<u8>)> = vec![
        ("raw", value.as_bytes().to_vec()),
        (
            "hex",
            value
                .bytes()
                .map(|b| format!("{b:02x}"))
                .collect::<String>()
                .into(),
        ),
        (
            "hex",
            value
                .bytes()
                .map(|b| format!("{b:02X}"))
                .collect::<String>()
                .into(),
        ),
        ("json", serde_json::json!({"v": value}).to_string().into()),
        (
            "json in json",
            serde_json::json!({"v": serde_json::json!({"v": value}).to_string()})
                .to_string()
                .into(),
        ),
        (
            "form",
            url::form_urlencoded::Serializer::new(String::new())
                .append_pair("v", value)
                .finish()
                .into(),
        ),
        (
            "html",
            "cnry &#34;self&#34; &#38; test/+?é 0123456789".into(),
        ),
        (
            "html",
            "cnry &quot;self&quot; &amp; test/+?é 0123456789".into(),
        ),
    ];
    for before in 0..6 {
        let name = ["base64", "base64 + 1", "base64 + 2"][before % 3];
        let around = format!("{}{value} and more", "x".repeat(before));
        written.push((name, base64.encode(&around).into()));
        let for_urls = base64::prelude::BASE64_URL_SAFE.encode(around);
        written.push((name, for_urls.into()));
    }
    for (encoding, text) in written {
        for filler in [0, 1, 4095, 100_000] {
            let mut bytes = vec![0xaa; filler];
            bytes.extend_from_slice(&text);
            bytes.extend([0; 7]);
            let found = search.within(&bytes);
            assert!(
                found
                    .iter()
                    .any(|((name, how), _)| name == "it" && *how == encoding),
                "{encoding} after {filler} bytes: {found:?}"
            );
            assert!(found.keys().all(|(name, _)| name == "it"), "{found:?}");
        }
    }
    assert!(search.within(&value.as_bytes()[1..]).is_empty());
}
