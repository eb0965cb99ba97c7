//! What people upload as `.env` files: any text has an answer, and what is written of it reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use optidev_fuzz::features::secrets::dotenv;

/// What a variable can be called: nothing else is ever stored, and so written.
fn is_variable(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(word)
}

fuzz_target!(|text: &str| {
    let mut parsed = dotenv::parse(text);
    parsed.entries.retain(|entry| is_variable(&entry.name));
    let mut file = String::new();
    for entry in &parsed.entries {
        dotenv::write(&mut file, &entry.name, entry.value.expose());
    }
    let again = dotenv::parse(&file);
    assert_eq!(again.mistakes, Vec::new(), "{file:?}");
    let values = |parsed: &dotenv::Parsed| -> Vec<(String, String)> {
        let entries = parsed.entries.iter();
        entries
            .map(|entry| (entry.name.clone(), entry.value.expose().clone()))
            .collect()
    };
    assert_eq!(values(&parsed), values(&again), "{file:?}");
});
