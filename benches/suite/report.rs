//! What was measured, as a table for people and as JSON for programs. The JSON's shape is a fixed point of the project.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::measure::{iqr, median};
use crate::support::target_dir;

/// Which way is good.
#[derive(Clone, Copy, PartialEq)]
pub enum Better {
    Lower,
    Higher,
}

/// What somebody promised about a figure.
#[derive(Clone, Copy)]
pub enum Bar {
    /// None.
    Free,
    /// Less than this.
    Below(f64),
    /// More than this.
    Above(f64),
    /// At least this share of the baseline.
    Share(f64),
}

/// One figure: the median of rounds, each of which gave one value.
pub struct Measurement {
    pub name: &'static str,
    pub unit: &'static str,
    pub better: Better,
    pub rounds: Vec<f64>,
    /// What it is compared with, measured in turns with it.
    pub baseline: Option<(&'static str, Vec<f64>)>,
    pub bar: Bar,
}

impl Measurement {
    pub fn new(name: &'static str, unit: &'static str, better: Better, rounds: Vec<f64>) -> Self {
        Self {
            name,
            unit,
            better,
            rounds,
            baseline: None,
            bar: Bar::Free,
        }
    }

    pub fn against(mut self, name: &'static str, rounds: Vec<f64>) -> Self {
        self.baseline = Some((name, rounds));
        self
    }

    pub fn below(mut self, limit: f64) -> Self {
        self.bar = Bar::Below(limit);
        self
    }

    pub fn above(mut self, limit: f64) -> Self {
        self.bar = Bar::Above(limit);
        self
    }

    pub fn above_ratio(mut self, share: f64) -> Self {
        self.bar = Bar::Share(share);
        self
    }

    fn value(&self) -> f64 {
        median(&self.rounds)
    }

    /// The value as a multiple of the baseline's.
    fn ratio(&self) -> Option<f64> {
        let (_, rounds) = self.baseline.as_ref()?;
        Some(self.value() / median(rounds))
    }

    fn json(&self) -> Value {
        let better = match self.better {
            Better::Lower => "lower",
            Better::Higher => "higher",
        };
        let baseline = self
            .baseline
            .as_ref()
            .map(|(name, rounds)| json!({"name": name, "value": rounded(median(rounds))}));
        json!({
            "name": self.name,
            "value": rounded(self.value()),
            "unit": self.unit,
            "better": better,
            "baseline": baseline,
            "ratio": self.ratio().map(rounded),
            "rounds": self.rounds.len(),
            "iqr": rounded(iqr(&self.rounds)),
        })
    }

    /// Whether what was promised of it does not hold.
    fn missed(&self) -> bool {
        match self.bar {
            Bar::Free => false,
            // Not a number is no figure below or above anything.
            Bar::Below(limit) => self.value().is_nan() || self.value() >= limit,
            Bar::Above(limit) => self.value().is_nan() || self.value() <= limit,
            Bar::Share(share) => self
                .ratio()
                .is_none_or(|ratio| ratio.is_nan() || ratio < share),
        }
    }

    fn row(&self) -> [String; 8] {
        let (baseline, ratio) = match (&self.baseline, self.ratio()) {
            (Some((name, rounds)), Some(ratio)) => (
                format!("{name} {}", shown(median(rounds))),
                format!("{ratio:.2}"),
            ),
            _ => (String::new(), String::new()),
        };
        let end = if self.missed() { "MISSED" } else { "met" };
        let bar = match self.bar {
            Bar::Free => String::new(),
            Bar::Below(limit) => format!("< {limit}: {end}"),
            Bar::Above(limit) => format!("> {limit}: {end}"),
            Bar::Share(share) => format!("ratio >= {share}: {end}"),
        };
        [
            self.name.to_owned(),
            shown(self.value()),
            self.unit.to_owned(),
            shown(iqr(&self.rounds)),
            self.rounds.len().to_string(),
            baseline,
            ratio,
            bar,
        ]
    }
}

/// The names of those that missed their bar.
pub fn missed(all: &[Measurement]) -> Vec<&'static str> {
    all.iter()
        .filter(|one| one.missed())
        .map(|one| one.name)
        .collect()
}

/// Prints the table and what the figures were measured on.
pub fn print(all: &[Measurement]) {
    let head = [
        "bench", "value", "unit", "iqr", "rounds", "baseline", "ratio", "bar",
    ]
    .map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(head)
        .chain(all.iter().map(Measurement::row))
        .collect();
    let widths: [usize; 8] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    println!();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if matches!(column, 1 | 3 | 4 | 6) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        println!("{}", cells.join("  ").trim_end());
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    println!(
        "\nmedians of rounds; {cores} cores, shared with the load; load average at the end {}",
        load.join(" ")
    );
    if cfg!(debug_assertions) {
        println!("built without optimisation: these figures say nothing, use `make bench`");
    }
}

/// Writes `target/bench/<suite>.json`.
pub fn write(all: &[Measurement], suite: &str) -> PathBuf {
    let folder = target_dir().join("bench");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{suite}.json"));
    let list: Vec<Value> = all.iter().map(Measurement::json).collect();
    let text = serde_json::to_string_pretty(&list).unwrap();
    // Beside and renamed, so that a program that waits for the file never reads half of it.
    let half = folder.join(format!("{suite}.json.new"));
    std::fs::write(&half, text + "\n").unwrap();
    std::fs::rename(&half, &file).unwrap();
    file
}

/// Three digits behind the point are more than any of these measurements holds.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn shown(value: f64) -> String {
    match value {
        value if value >= 1000.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
