//! References between the values of one delivery: `${NAME}` in a value that is marked for it becomes that variable's value.
//!
//! `$${NAME}` stands for the text `${NAME}`; anything else with a dollar sign stays as it is. Names in braces are variables
//! of the same delivery. What always holds: each value is expanded once, no cycle is followed, and the whole has a limit.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::vault::types::{MAX_VALUE, VaultError};

/// Values by the variable's name, as they are and as they become.
pub struct Values<'a> {
    plain: BTreeMap<&'a str, (Zeroizing<Vec<u8>>, bool)>,
    done: BTreeMap<&'a str, Zeroizing<Vec<u8>>>,
}

impl<'a> Values<'a> {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            plain: BTreeMap::new(),
            done: BTreeMap::new(),
        }
    }

    /// One more; `expand` says whether references in it count.
    pub fn put(&mut self, name: &'a str, value: Zeroizing<Vec<u8>>, expand: bool) {
        self.plain.insert(name, (value, expand));
    }

    /// Every value with its references resolved, by name.
    ///
    /// # Errors
    /// [`VaultError::Refused`] for a reference to a variable that is not there and for a cycle, with the names;
    /// [`VaultError::TooLarge`].
    pub fn resolve(mut self) -> Result<BTreeMap<&'a str, Zeroizing<Vec<u8>>>, VaultError> {
        let names: Vec<&'a str> = self.plain.keys().copied().collect();
        for name in names {
            self.resolve_one(name, &mut Vec::new())?;
        }
        Ok(self.done)
    }

    fn resolve_one(&mut self, name: &'a str, path: &mut Vec<&'a str>) -> Result<(), VaultError> {
        if self.done.contains_key(name) {
            return Ok(());
        }
        // Only names that are known get here, and one that is being resolved is taken out: it is in neither map.
        let Some((value, expand)) = self.plain.remove(name) else {
            return Ok(());
        };
        if !expand {
            self.done.insert(name, value);
            return Ok(());
        }
        path.push(name);
        let mut whole = Zeroizing::new(Vec::with_capacity(value.len() * 2));
        for part in parts(&value) {
            match part {
                Part::Text(text) => append(&mut whole, text, name)?,
                Part::Reference(to) => {
                    let known = self.known(to).ok_or_else(|| unresolved(path, name, to))?;
                    self.resolve_one(known, path)?;
                    let text = self.done.get(known).map(|text| text.as_slice());
                    append(&mut whole, text.unwrap_or_default(), name)?;
                }
            }
        }
        path.pop();
        self.done.insert(name, whole);
        Ok(())
    }

    fn known(&self, name: &[u8]) -> Option<&'a str> {
        let name = std::str::from_utf8(name).ok()?;
        let plain = self.plain.get_key_value(name).map(|(key, _)| *key);
        plain.or_else(|| self.done.get_key_value(name).map(|(key, _)| *key))
    }
}

enum Part<'v> {
    Text(&'v [u8]),
    Reference(&'v [u8]),
}

/// `value` cut at its references.
fn parts(value: &[u8]) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut rest, mut text) = (value, 0);
    while let Some(tail) = rest.get(text..) {
        let Some(dollar) = tail.iter().position(|byte| *byte == b'$') else {
            break;
        };
        let at = text + dollar;
        let after = rest.get(at + 1..).unwrap_or_default();
        if let Some(name) = braced(after.strip_prefix(b"$").unwrap_or_default()) {
            // "$${NAME}": the first sign goes, the rest is text.
            parts.push(Part::Text(rest.get(..at).unwrap_or_default()));
            parts.push(Part::Text(after.get(..name.len() + 3).unwrap_or_default()));
            rest = after.get(name.len() + 3..).unwrap_or_default();
            text = 0;
        } else if let Some(name) = braced(after) {
            parts.push(Part::Text(rest.get(..at).unwrap_or_default()));
            parts.push(Part::Reference(name));
            rest = after.get(name.len() + 2..).unwrap_or_default();
            text = 0;
        } else {
            text = at + 1;
        }
    }
    parts.push(Part::Text(rest));
    parts
}

/// The name in `{NAME}` at the start of `text`.
fn braced(text: &[u8]) -> Option<&[u8]> {
    let inside = text.strip_prefix(b"{")?;
    let end = inside.iter().position(|byte| *byte == b'}')?;
    let name = inside.get(..end)?;
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let digit = name.first().is_none_or(u8::is_ascii_digit);
    (!digit && name.iter().all(word)).then_some(name)
}

/// Grows by hand, so that no copy stays behind unwiped.
fn append(whole: &mut Zeroizing<Vec<u8>>, text: &[u8], name: &str) -> Result<(), VaultError> {
    let needed = whole.len() + text.len();
    if needed > MAX_VALUE {
        return Err(VaultError::TooLarge {
            what: format!("{name} with its references"),
            bytes: needed as u64,
            limit: MAX_VALUE as u64,
        });
    }
    if needed > whole.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
        larger.extend_from_slice(whole);
        *whole = larger;
    }
    whole.extend_from_slice(text);
    Ok(())
}

/// Why `to`, which `name` refers to, has no value: it is being resolved itself, or it is not there.
fn unresolved(path: &[&str], name: &str, to: &[u8]) -> VaultError {
    let to = String::from_utf8_lossy(to);
    let reason = if path.iter().any(|on_path| *on_path == to) {
        let path = path.join(" -> ");
        format!("{path} -> {to} refer to each other in a circle; write one of them out")
    } else {
        format!(
            "{name} refers to {to}, and there is no such variable; set it, or write $${{{to}}} if the text is meant"
        )
    };
    VaultError::Refused { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(values: &[(&'static str, &str)]) -> Result<BTreeMap<String, String>, VaultError> {
        let mut all = Values::new();
        for (name, value) in values {
            let literal = name.starts_with("LITERAL");
            all.put(name, Zeroizing::new(value.as_bytes().to_vec()), !literal);
        }
        let text = |value: &Vec<u8>| String::from_utf8(value.clone()).unwrap();
        Ok(all
            .resolve()?
            .iter()
            .map(|(name, value)| ((*name).to_owned(), text(value)))
            .collect())
    }

    #[test]
    fn references_are_resolved_through_each_other() {
        let all = resolve(&[
            ("URL", "postgres://${USER_NAME}:${PASS}@${HOST}/x"),
            ("HOST", "db.${ZONE}"),
            ("PASS", "p$a$$s"),
            ("USER_NAME", "ada"),
            ("ZONE", "eu"),
            ("LITERAL", "${ZONE}"),
            ("ESCAPED", "$${ZONE} $$${ZONE} ${} ${1A} ${A-B} ${ZONE"),
        ])
        .unwrap();
        assert_eq!(all["URL"], "postgres://ada:p$a$$s@db.eu/x");
        assert_eq!(all["LITERAL"], "${ZONE}");
        assert_eq!(all["ESCAPED"], "${ZONE} $${ZONE} ${} ${1A} ${A-B} ${ZONE");
    }

    #[test]
    fn circles_gaps_and_bombs_are_refused_by_name() {
        let message = |values: &[(&'static str, &str)]| resolve(values).unwrap_err().to_string();
        let circle = message(&[("A", "${B}"), ("B", "${C}"), ("C", "${A}")]);
        assert!(circle.contains("A -> B -> C -> A"), "{circle}");
        assert!(message(&[("A", "x${A}")]).contains("A -> A"));
        let gap = message(&[("A", "${NOT_HERE}")]);
        assert!(gap.contains("A refers to NOT_HERE"), "{gap}");
        // Each doubles the one before: a few lines would fill the memory.
        let names: Vec<&'static str> = (0..40).map(|n| &*format!("V{n}").leak()).collect();
        let values: Vec<(&'static str, &str)> = names
            .iter()
            .enumerate()
            .map(|(at, name)| match at {
                0 => (*name, "0123456789"),
                at => (*name, &*format!("${{V{0}}}${{V{0}}}", at - 1).leak()),
            })
            .collect();
        assert!(matches!(resolve(&values), Err(VaultError::TooLarge { .. })));
    }
}
