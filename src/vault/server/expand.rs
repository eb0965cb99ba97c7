//! References between the values of one delivery: `${NAME}` in a value that is marked for it becomes that variable's value.
//!
//! `$${NAME}` stands for the text `${NAME}`; anything else with a dollar sign stays as it is. Names in braces are variables
//! of the same delivery. What always holds: each value is expanded once, no cycle is followed, and the whole has a limit.

use std::collections::BTreeMap;
use std::ops::Range;

use zeroize::Zeroizing;

use crate::vault::types::{MAX_VARIABLE, VaultError};

/// Most bytes that all values with their references may have together: no delivery can carry more.
const MAX_TOGETHER: usize = crate::vault::protocol::MAX_FRAME;

/// Values by the variable's name, as they are and as they become.
pub struct Values<'a> {
    plain: BTreeMap<&'a str, (Zeroizing<Vec<u8>>, bool)>,
    done: BTreeMap<&'a str, Zeroizing<Vec<u8>>>,
    /// Bytes in `done` and in what is being put together.
    together: usize,
}

/// A value that is being put together.
struct Half<'a> {
    name: &'a str,
    value: Zeroizing<Vec<u8>>,
    parts: std::vec::IntoIter<Part>,
    whole: Zeroizing<Vec<u8>>,
    /// The reference that comes next, once it is done.
    waits_for: Option<&'a str>,
}

impl<'a> Values<'a> {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            plain: BTreeMap::new(),
            done: BTreeMap::new(),
            together: 0,
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
        while let Some((name, _)) = self.plain.first_key_value() {
            self.resolve_one(name)?;
        }
        Ok(self.done)
    }

    /// Without recursion: a chain may be as long as there are values, and the stack is short.
    fn resolve_one(&mut self, name: &'a str) -> Result<(), VaultError> {
        let mut path: Vec<Half<'a>> = self.take(name)?.into_iter().collect();
        while let Some(half) = path.last_mut() {
            if let Some(to) = half.waits_for.take() {
                let text = self.done.get(to).map(|text| text.as_slice());
                half.append(text.unwrap_or_default(), &mut self.together)?;
            }
            match half.parts.next() {
                Some(Part::Text(range)) => half.append_own(range, &mut self.together)?,
                Some(Part::Reference(range)) => {
                    let to = half.value.get(range).unwrap_or_default();
                    let Some(to) = known(&self.plain, &self.done, to) else {
                        let to = String::from_utf8_lossy(to).into_owned();
                        return Err(unresolved(&path, &to));
                    };
                    half.waits_for = Some(to);
                    path.extend(self.take(to)?);
                }
                None => {
                    if let Some(half) = path.pop() {
                        self.done.insert(half.name, half.whole);
                    }
                }
            }
        }
        Ok(())
    }

    /// Begins with a value; none when it is done, which one without references is at once. From here on it is in neither map
    /// until it is done.
    fn take(&mut self, name: &'a str) -> Result<Option<Half<'a>>, VaultError> {
        let Some((value, expand)) = self.plain.remove(name) else {
            return Ok(None);
        };
        if !expand {
            add(&mut self.together, value.len())?;
            self.done.insert(name, value);
            return Ok(None);
        }
        Ok(Some(Half {
            name,
            parts: parts(&value).into_iter(),
            whole: Zeroizing::new(Vec::with_capacity(value.len())),
            value,
            waits_for: None,
        }))
    }
}

/// The name as the maps have it.
fn known<'a, A, B>(
    plain: &BTreeMap<&'a str, A>,
    done: &BTreeMap<&'a str, B>,
    name: &[u8],
) -> Option<&'a str> {
    let name = std::str::from_utf8(name).ok()?;
    let plain = plain.get_key_value(name).map(|(key, _)| *key);
    plain.or_else(|| done.get_key_value(name).map(|(key, _)| *key))
}

/// A part of a value, as its place in it.
#[derive(Clone)]
enum Part {
    Text(Range<usize>),
    /// Of the name alone.
    Reference(Range<usize>),
}

/// `value` cut at its references.
fn parts(value: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    let (mut begun, mut at) = (0, 0);
    while let Some(dollar) = position(value, at) {
        let after = value.get(dollar + 1..).unwrap_or_default();
        if let Some(name) = braced(after.strip_prefix(b"$").unwrap_or_default()) {
            // "$${NAME}": the first sign goes, the rest is text.
            parts.push(Part::Text(begun..dollar));
            begun = dollar + 1;
            at = begun + name.len() + 3;
        } else if let Some(name) = braced(after) {
            parts.push(Part::Text(begun..dollar));
            let name_at = dollar + 2;
            parts.push(Part::Reference(name_at..name_at + name.len()));
            begun = name_at + name.len() + 1;
            at = begun;
        } else {
            at = dollar + 1;
        }
    }
    parts.push(Part::Text(begun..value.len()));
    parts
}

/// Where the next dollar sign is, from `at` on.
fn position(value: &[u8], at: usize) -> Option<usize> {
    let rest = value.get(at..)?;
    Some(at + rest.iter().position(|byte| *byte == b'$')?)
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

impl Half<'_> {
    fn append_own(&mut self, range: Range<usize>, together: &mut usize) -> Result<(), VaultError> {
        // Out for the moment, because a value cannot be read while it is written to; not copied.
        let value = std::mem::take(&mut self.value);
        let appended = self.append(value.get(range).unwrap_or_default(), together);
        self.value = value;
        appended
    }

    /// Grows by hand, so that no copy stays behind unwiped.
    fn append(&mut self, text: &[u8], together: &mut usize) -> Result<(), VaultError> {
        let needed = self.whole.len() + text.len();
        if needed > MAX_VARIABLE {
            return Err(VaultError::TooLarge {
                what: format!("{} with its references", self.name),
                bytes: needed as u64,
                limit: MAX_VARIABLE as u64,
            });
        }
        add(together, text.len())?;
        if needed > self.whole.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
            larger.extend_from_slice(&self.whole);
            self.whole = larger;
        }
        self.whole.extend_from_slice(text);
        Ok(())
    }
}

fn add(together: &mut usize, bytes: usize) -> Result<(), VaultError> {
    *together += bytes;
    if *together > MAX_TOGETHER {
        return Err(VaultError::TooLarge {
            what: "all values of a delivery with their references".to_owned(),
            bytes: *together as u64,
            limit: MAX_TOGETHER as u64,
        });
    }
    Ok(())
}

/// Why `to`, which the last of the path refers to, has no value: it is being put together itself, or it is not there.
fn unresolved(path: &[Half<'_>], to: &str) -> VaultError {
    let names: Vec<&str> = path.iter().map(|half| half.name).collect();
    let reason = match names.iter().position(|name| *name == to) {
        Some(first) => {
            let circle = names.get(first..).unwrap_or_default();
            // As long as there are values: the beginning says enough.
            let shown = circle.iter().take(20).copied().collect::<Vec<_>>();
            let more = if shown.len() < circle.len() {
                " -> …"
            } else {
                ""
            };
            let shown = shown.join(" -> ");
            format!("{shown}{more} -> {to} refer to each other in a circle; write one of them out")
        }
        None => {
            let name = names.last().copied().unwrap_or_default();
            format!(
                "{name} refers to {to}, and there is no such variable; set it, or write $${{{to}}} if the text is meant"
            )
        }
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

    #[test]
    fn a_chain_may_be_as_long_as_a_delivery_and_the_stack_is_short() {
        let names: Vec<&'static str> = (0..4096).map(|n| &*format!("V{n:04}").leak()).collect();
        let resolved = std::thread::Builder::new()
            .stack_size(128 * 1024)
            .spawn(move || {
                let values: Vec<(&'static str, &str)> = names
                    .iter()
                    .enumerate()
                    .map(|(at, name)| match names.get(at + 1) {
                        Some(next) => (*name, &*format!("${{{next}}}").leak()),
                        None => (*name, "end"),
                    })
                    .collect();
                resolve(&values).map(|all| all["V0000"].clone())
            });
        assert_eq!(resolved.unwrap().join().unwrap().unwrap(), "end");
    }

    #[test]
    fn many_that_are_each_allowed_are_refused_together() {
        let large = "x".repeat(MAX_VARIABLE);
        let large: &'static str = large.leak();
        let names: Vec<&'static str> = (0..300).map(|n| &*format!("V{n}").leak()).collect();
        let mut values: Vec<(&'static str, &str)> =
            names.iter().map(|name| (*name, "${X}")).collect();
        values.push(("X", large));
        let said = resolve(&values).unwrap_err().to_string();
        assert!(said.contains("all values of a delivery"), "{said}");
    }
}
