//! Ways to cheat the store and authz, none of which compiles: each file of `tests/compile-fail/` says one.
//!
//! A line there ends with the errors that it gives, so that a typing error does not pass for a wall: `//~ E0616: message`, and
//! after a further `: `, where the message alone says little, what the compiler points out. The compiler is called with the
//! libraries that the tests are linked with; to build them anew for this takes minutes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use serde_json::Value;

/// What a line of a case says of itself.
const SAYS: &str = "//~ ";

#[test]
fn what_would_cheat_the_store_does_not_compile() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = files(&root.join("tests/compile-fail"), "", "rs");
    assert!(cases.len() >= 24, "{} are left", cases.len());
    let libraries = Libraries::of_these_tests();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = cases
            .chunks(cases.len().div_ceil(2))
            .map(|some| {
                scope.spawn(|| {
                    some.iter()
                        .filter_map(|case| libraries.complaint(case))
                        .collect()
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| -> Vec<String> { worker.join().unwrap() })
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The compiled libraries that a case may use.
struct Libraries {
    folder: PathBuf,
    used: Vec<String>,
}

impl Libraries {
    fn of_these_tests() -> Self {
        let folder = std::env::current_exe().unwrap();
        let folder = folder.parent().unwrap().to_path_buf();
        let optidev = newest(&folder, "optidev").remove(0);
        let with = |sea_orm: &PathBuf| Self {
            folder: folder.clone(),
            used: vec![
                format!("--extern=optidev={}", optidev.display()),
                format!("--extern=sea_orm={}", sea_orm.display()),
                format!(
                    "--extern=serde_json={}",
                    newest(&folder, "serde_json")[0].display()
                ),
            ],
        };
        // Of several that were built, with other features, one is what the server was built with.
        let all = newest(&folder, "sea_orm")
            .iter()
            .map(with)
            .collect::<Vec<_>>();
        let fits = all.into_iter().find(Self::fit);
        fits.expect("a library sea_orm that the library optidev was built with")
    }

    /// Whether they were built with each other.
    fn fit(&self) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let probe = folder.path().join("probe.rs");
        let text = "fn entity<E: sea_orm::EntityTrait>() {}\n\
                    fn main() { entity::<optidev::authz::membership::Entity>(); }\n";
        std::fs::write(&probe, text).unwrap();
        self.compile(&probe, folder.path()).status.success()
    }

    /// What is not as the case says.
    fn complaint(&self, case: &Path) -> Option<String> {
        let text = std::fs::read_to_string(case).unwrap();
        let said = said(&text);
        assert!(
            !said.is_empty(),
            "{}: No line ends with {SAYS}",
            case.display()
        );
        let found = self.errors(case);
        let named = |error: &Error| said.iter().any(|one| error.is(one));
        if found.iter().all(named)
            && said
                .iter()
                .all(|one| found.iter().any(|error| error.is(one)))
        {
            return None;
        }
        let found = found.iter().map(|error| format!("    {error:?}\n"));
        Some(format!(
            "{}: the compiler says\n{}  and not\n    {said:?}",
            case.display(),
            found.collect::<String>()
        ))
    }

    /// The errors that the compiler finds in a case.
    fn errors(&self, case: &Path) -> Vec<Error> {
        let out = tempfile::tempdir().unwrap();
        let compiled = self.compile(case, out.path());
        assert!(!compiled.status.success(), "{} compiles", case.display());
        let lines = String::from_utf8(compiled.stderr).unwrap();
        let messages = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        messages.filter_map(|message| Error::of(&message)).collect()
    }

    fn compile(&self, case: &Path, out: &Path) -> std::process::Output {
        Command::new("rustc")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args([
                "--edition=2024",
                "--crate-type=bin",
                "--emit=metadata",
                "--error-format=json",
            ])
            .arg(format!("-Ldependency={}", self.folder.display()))
            .args(&self.used)
            .arg("--out-dir")
            .arg(out)
            .arg(case)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

/// The libraries of this name, the one first that was built last.
fn newest(folder: &Path, name: &str) -> Vec<PathBuf> {
    let changed = |path: &PathBuf| -> SystemTime { path.metadata().unwrap().modified().unwrap() };
    let mut all = files(folder, &format!("lib{name}-"), "rlib");
    assert!(
        !all.is_empty(),
        "no lib{name}-*.rlib in {}",
        folder.display()
    );
    all.sort_by_key(|path| std::cmp::Reverse(changed(path)));
    all
}

fn files(folder: &Path, begins: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(begins) && path.extension().is_some_and(|found| found == ending)
    };
    paths.filter(wanted).collect()
}

/// What is said of each line that says something.
fn said(text: &str) -> Vec<(u64, String)> {
    let lines = (1..).zip(text.lines());
    let each = lines.flat_map(|(number, line)| {
        let errors = line.split(SAYS).skip(1);
        errors.map(move |error| (number, error.trim().to_owned()))
    });
    each.collect()
}

/// An error of the compiler.
#[derive(Debug)]
struct Error {
    line: u64,
    text: String,
    label: String,
}

impl Error {
    fn of(message: &Value) -> Option<Self> {
        let code = message["code"]["code"].as_str()?;
        if message["level"] != "error" {
            return None;
        }
        let spans = message["spans"].as_array()?;
        let span = spans.iter().find(|span| span["is_primary"] == true)?;
        Some(Self {
            line: span["line_start"].as_u64()?,
            text: format!("{code}: {}", message["message"].as_str()?),
            label: span["label"].as_str().unwrap_or_default().to_owned(),
        })
    }

    fn is(&self, (line, said): &(u64, String)) -> bool {
        let whole = format!("{}: {}", self.text, self.label);
        self.line == *line && (*said == self.text || *said == whole)
    }
}
