//! What is not right with several secrets at once, told together.

use std::collections::BTreeMap;

use crate::kernel::{Code, Problem};

/// Everything that is not right, by name where there are several.
pub struct Wrong {
    many: bool,
    all: BTreeMap<String, Vec<String>>,
}

impl Wrong {
    /// Nothing yet, of so many.
    pub fn about(asked: usize) -> Self {
        Self {
            many: asked > 1,
            all: BTreeMap::new(),
        }
    }

    /// One thing more.
    pub fn add(&mut self, name: &str, message: &str) {
        // A name that is none may be anything and of any length.
        let name: String = name.chars().take(130).collect();
        self.all.entry(name).or_default().push(message.to_owned());
    }

    /// Goes on when nothing is wrong.
    ///
    /// # Errors
    /// `unprocessable` with all of it.
    pub fn none(&self) -> Result<(), Problem> {
        if self.all.is_empty() {
            return Ok(());
        }
        let lines = self.all.iter().map(|(name, messages)| {
            let messages = messages.join(" ");
            if self.many {
                format!("{name}: {messages}")
            } else {
                messages
            }
        });
        let lines: Vec<String> = lines.collect();
        let detail = if self.many {
            format!("Nothing was set. {}", lines.join("\n"))
        } else {
            lines.join("\n")
        };
        Err(Problem::new(Code::Unprocessable, detail))
    }
}
