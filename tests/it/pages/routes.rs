//! The routes that the source gives to a router by hand, read from the source: a list that cannot forget one.

use std::path::{Path, PathBuf};

use syn::visit::{Visit, visit_expr_method_call};

/// `METHOD /path` of every `.route("/path", …)` below `src/`.
pub fn in_the_source() -> Vec<String> {
    let mut files = Vec::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let mut found = Found::default();
    for file in files {
        let code = std::fs::read_to_string(&file).unwrap();
        let parsed =
            syn::parse_file(&code).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        found.visit_file(&parsed);
    }
    assert!(found.0.len() > 40, "{:?}", found.0);
    found.0
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let test =
            path.ends_with("tests") || path.ends_with("tests.rs") || path.ends_with("testing.rs");
        if path.is_dir() && !test {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !test {
            files.push(path);
        }
    }
}

#[derive(Default)]
struct Found(Vec<String>);

impl<'ast> Visit<'ast> for Found {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.ident != "tests" {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "route" {
            let mut arguments = call.args.iter();
            let path = arguments.next().unwrap();
            let syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(path),
                ..
            }) = path
            else {
                panic!("a route's path must be written where it is given to the router");
            };
            let mut methods = Methods::default();
            methods.visit_expr(arguments.next().unwrap());
            assert!(!methods.0.is_empty(), "no method of {}", path.value());
            for method in methods.0 {
                self.0.push(format!("{method} {}", path.value()));
            }
        }
        visit_expr_method_call(self, call);
    }
}

/// `get(…)`, and what follows it as `.post(…)`.
#[derive(Default)]
struct Methods(Vec<String>);

impl Methods {
    fn note(&mut self, name: &str) {
        if ["get", "post", "put", "patch", "delete", "head", "any"].contains(&name) {
            self.0.push(name.to_uppercase());
        }
    }
}

impl<'ast> Visit<'ast> for Methods {
    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(path) = &*call.func {
            self.note(&path.path.segments.last().unwrap().ident.to_string());
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.note(&call.method.to_string());
        self.visit_expr(&call.receiver);
    }
}
