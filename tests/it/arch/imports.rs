//! Reads what a source file refers to: every path of this crate and of others, wherever it stands.
//!
//! Code for tests (`#[cfg(test)]`, `#[test]`) is left out: it does not ship.

use syn::visit::{self, Visit};

/// What one file refers to.
#[derive(Debug, Default)]
pub struct References {
    /// Paths in this crate, from its root: `["store", "Grant"]`.
    pub own: Vec<Vec<String>>,
    /// Paths into other crates, from the crate's name: `["sea_orm", "Statement"]`.
    pub foreign: Vec<Vec<String>>,
    /// Names of the methods that are called.
    pub methods: Vec<String>,
    /// Lint attributes that silence without having to be true: the text of each `#[allow(...)]`.
    pub allows: Vec<String>,
    /// What askama is told: the text of each `#[template(...)]`, inline templates included.
    pub templates: Vec<String>,
}

/// Reads `source`, the file of `module` (for `src/a/b.rs`: `["a", "b"]`).
///
/// # Errors
/// When the file is not Rust.
pub fn read(source: &str, module: &[String]) -> syn::Result<References> {
    let file = syn::parse_file(source)?;
    let mut reader = Reader {
        module: module.to_vec(),
        found: References::default(),
    };
    reader.visit_file(&file);
    Ok(reader.found)
}

struct Reader {
    /// The module that is being read, inline ones included.
    module: Vec<String>,
    found: References,
}

impl Reader {
    /// Files a path under own or foreign, after `self`, `super` and `crate` are worked out.
    fn record(&mut self, path: &[String]) {
        let Some(first) = path.first() else { return };
        match first.as_str() {
            // The binary and the tests know this crate by its name.
            "crate" | "optidev" => self.found.own.push(path[1..].to_vec()),
            "self" if path.len() > 1 => self.found.own.push([&self.module, &path[1..]].concat()),
            "super" => {
                let ups = path
                    .iter()
                    .take_while(|segment| *segment == "super")
                    .count();
                let kept = self.module.len().saturating_sub(ups);
                self.found
                    .own
                    .push([&self.module[..kept], &path[ups..]].concat());
            }
            _ if path.len() > 1 => self.found.foreign.push(path.to_vec()),
            _ => {}
        }
    }

    fn record_use(&mut self, prefix: &[String], tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                self.record_use(&[prefix, &[path.ident.to_string()]].concat(), &path.tree)
            }
            syn::UseTree::Name(name) => self.record_leaf(prefix, &name.ident.to_string()),
            syn::UseTree::Rename(rename) => self.record_leaf(prefix, &rename.ident.to_string()),
            syn::UseTree::Glob(_) => self.record_leaf(prefix, "*"),
            syn::UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.record_use(prefix, tree)),
        }
    }

    fn record_leaf(&mut self, prefix: &[String], leaf: &str) {
        // `use a::b::{self}` imports `a::b`.
        let path = if leaf == "self" && !prefix.is_empty() {
            prefix.to_vec()
        } else {
            [prefix, &[leaf.to_owned()]].concat()
        };
        if path.len() == 1 && path[0] != "crate" {
            self.found.foreign.push(path);
        } else {
            self.record(&path);
        }
    }

    /// Macro bodies are tokens that syn does not parse: their paths are found word by word.
    fn record_tokens(&mut self, tokens: &str) {
        let words = words(tokens);
        let mut at = 0;
        while at < words.len() {
            let mut path = vec![words[at].clone()];
            while is_name(&words[at])
                && words.get(at + 1).is_some_and(|word| word == "::")
                && words.get(at + 2).is_some_and(|word| is_name(word))
            {
                path.push(words[at + 2].clone());
                at += 2;
            }
            if path.len() > 1 {
                self.record(&path);
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(item_attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_some() {
            self.module.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.module.pop();
        } else {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.record_use(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        self.record(&segments);
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(crate)` and `pub(super)` name no dependency.
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.found.methods.push(call.method.to_string());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.record_tokens(&call.tokens.to_string());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            let tokens = list.tokens.to_string();
            if attribute.path().is_ident("allow") {
                self.found.allows.push(tokens.clone());
            }
            if attribute.path().is_ident("template") {
                self.found.templates.push(tokens.clone());
            }
            self.record_tokens(&tokens);
        }
        visit::visit_attribute(self, attribute);
    }
}

/// Splits tokens as `TokenStream` prints them into names, `::`, string literals and single signs.
fn words(tokens: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = tokens.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_alphanumeric() || first == '_' {
            rest.find(|sign: char| !sign.is_alphanumeric() && sign != '_')
                .unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else if first == '"' {
            string_length(rest)
        } else {
            first.len_utf8()
        };
        words.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    words
}

/// The length of the string literal that `text` starts with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, sign) in text.char_indices().skip(1) {
        match sign {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_name(word: &str) -> bool {
    word.starts_with(|sign: char| sign.is_alphabetic() || sign == '_')
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, `#[cfg(all(test, ...))]`.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let last = attribute
            .path()
            .segments
            .last()
            .map(|segment| segment.ident.to_string());
        match (&attribute.meta, last.as_deref()) {
            (_, Some("test")) => true,
            (syn::Meta::List(list), Some("cfg")) => {
                let words = words(&list.tokens.to_string());
                words.iter().any(|word| word == "test")
                    && !words.iter().any(|word| word == "not" || word == "any")
            }
            _ => false,
        }
    })
}

fn item_attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
