//! Finds the values of a workspace's variables in what is about to leave, and puts the variable's name in their place.
//!
//! - `common` says which values are not looked for, because they would be found everywhere.
//! - `forms` writes down how a value may be written: as it is, in base64, in hex, line by line.
//! - `finder` finds the first and longest of all forms in a text, in time linear in the text.
//! - `escapes` knows those of JSON, percent signs, HTML, the shell's backslash and wrapped lines; `decode` undoes one level of
//!   them and maps places back.
//! - `strings` knows JSON: whether a body is valid, and where its strings are; `exempt` those that nobody may touch.
//! - `splice` puts the placeholders in, until no form is left.
//!
//! Escapes are undone in the text instead of being written into the forms. So it does not matter which characters a client
//! escapes, and how: any mixture and any nesting is the same text in the end. What is still escaped after
//! [`decode::LEVELS`] levels is not found.
//!
//! What always holds:
//! - No hit: nothing is returned, so the caller sends the original bytes.
//! - A valid JSON body is valid JSON afterwards, and differs only where a form was found.
//! - What comes out depends on the body and the set of names and values, not on their order.
//! - What comes out holds no form that is looked for, outside the exempt strings; see [`splice`] for how that ends.
//! - Time grows with the body, not with its square, whatever the values are. Nothing recurses.
//!
//! This module may use nothing of the crate.

mod common;
mod decode;
mod escapes;
mod exempt;
mod finder;
mod forms;
mod splice;
mod strings;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_places;
#[cfg(test)]
mod tests_random;

use std::fmt;

use self::finder::Finder;
use self::forms::Forms;
use self::splice::Placeholder;

pub use self::common::Unlooked;

/// A value to find and the variable that it is called by.
///
/// One name may come with several values, as a variable has earlier ones.
pub struct Known<'a> {
    /// The variable's name.
    pub name: &'a str,
    /// The value. White space around it does not count: it is often a file's last line end.
    pub value: &'a [u8],
}

/// All forms of a workspace's values, ready to be found.
///
/// The copies that are made of values on the way are wiped. The automaton is a copy, too, that its crate does not wipe; the
/// executable's allocator does when it is freed. Its pages may be swapped out (docs/threat-model.md). So hold this in a process
/// that gives no memory away, and for no longer than it is used. It has no `Debug` for the same reason.
pub struct Patterns {
    finder: Finder,
    /// In the order of names; a form refers to its variable by the place here.
    names: Vec<(String, Placeholder)>,
}

/// A body in which something was found.
#[derive(Debug)]
pub struct Redacted {
    /// With placeholders in place of values.
    pub body: Vec<u8>,
    /// How often each variable was put in, in the order of names.
    pub found: Vec<(String, u32)>,
    /// How often each variable's value stays in a string that nobody may touch, because the provider checks it.
    pub kept: Vec<(String, u32)>,
}

/// A body that takes too much: too many places, too long a result, or beginnings of values everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooCostly;

/// There is more to look for than memory is given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuch {
    /// The most bytes that all forms of all values may have together.
    pub limit: usize,
}

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the values with all forms in which they are looked for have more than {} bytes together",
            self.limit
        )
    }
}

impl std::error::Error for TooMuch {}

impl Patterns {
    /// Prepares the values, and says of which variables a value is not looked for, in the order of names.
    ///
    /// # Errors
    /// [`TooMuch`], when all forms together have more than 16 MiB.
    pub fn new<'a>(
        known: impl IntoIterator<Item = Known<'a>>,
    ) -> Result<(Self, Vec<(String, Unlooked)>), TooMuch> {
        let mut known: Vec<Known<'a>> = known.into_iter().collect();
        known.sort_unstable_by_key(|one| (one.name, one.value));
        known.dedup_by_key(|one| (one.name, one.value));
        let mut names: Vec<(String, Placeholder)> = Vec::new();
        for one in &known {
            if names.last().is_none_or(|(name, _)| name != one.name) {
                names.push((one.name.to_owned(), Placeholder::of(one.name)));
            }
        }
        let mut forms = Forms::new(names.iter().map(|(_, placeholder)| placeholder));
        let mut unlooked = Vec::new();
        let mut owner = 0;
        for one in &known {
            while names.get(owner).is_some_and(|(name, _)| name != one.name) {
                owner += 1;
            }
            if let Some(reason) = forms.add(owner, one.value)? {
                unlooked.push((one.name.to_owned(), reason));
            }
        }
        unlooked.sort_unstable();
        unlooked.dedup();
        let finder = Finder::new(&forms.done())?;
        drop(forms);
        Ok((Self { finder, names }, unlooked))
    }

    /// About how much memory this has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.finder.bytes()
    }

    /// None: no hit. Otherwise the body with placeholders, and per name how often, sorted by name.
    ///
    /// # Errors
    /// [`TooCostly`]; nothing is known of the body then.
    pub fn redact(&self, body: &[u8]) -> Result<Option<Redacted>, TooCostly> {
        if self.finder.is_empty() {
            return Ok(None);
        }
        let Some(done) = splice::redact(&self.finder, &self.names, body)? else {
            return Ok(None);
        };
        let named = |times: Vec<u32>| {
            let names = self.names.iter().map(|(name, _)| name.clone());
            names.zip(times).filter(|(_, times)| *times > 0).collect()
        };
        Ok(Some(Redacted {
            body: done.body,
            found: named(done.found),
            kept: named(done.kept),
        }))
    }

    /// As [`Patterns::redact`], for tests in which that is not too much; none, too, when all that was found stays.
    #[cfg(test)]
    fn of(&self, body: &[u8]) -> Option<Redacted> {
        let redacted = self.redact(body).unwrap();
        redacted.filter(|redacted| !redacted.found.is_empty())
    }
}
