//! What is asked of the log: parsing, and the conditions on rows. Pure.

use sea_orm::sea_query::{Expr, ExprTrait, Func, LikeExpr};
use sea_orm::{ColumnTrait, Condition};
use serde::{Deserialize, Serialize};

use super::Action;
use crate::kernel::{Code, Problem, UserId};
use crate::store::ledger::event::Column;

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A question as it comes in an address. Empty fields ask for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Who: an account's id, or `server` for what no account did.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub actor: String,
    /// What: an action such as `secrets.set`, or a feature's with its dot, `secrets.`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub action: String,
    /// On which object: its id or name, whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// From which network address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// With which session or token, by its id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub credential: String,
    /// Not before: a day, a minute or second (RFC 3339; UTC without a zone), or milliseconds since the epoch.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// Not after, as `from`; a day counts to its end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// Text within object or detail, upper and lower case alike.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub q: String,
    /// Where the last page ended: its `next`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cursor: String,
    /// Entries on a page, 1 to 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// A question that can be answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    actor: Option<Option<UserId>>,
    action: Option<String>,
    object: Option<String>,
    address: Option<String>,
    credential: Option<String>,
    from_ms: Option<i64>,
    to_ms: Option<i64>,
    text: Option<String>,
}

impl Filter {
    /// Reads a question.
    ///
    /// # Errors
    /// `unprocessable` naming the field.
    pub fn parse(asked: &Asked) -> Result<Self, Problem> {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let actor = match asked.actor.trim() {
            "" => None,
            "server" => Some(None),
            id => Some(Some(id.parse::<UserId>().map_err(|error| {
                wrong("actor", format!("{error}, nor the word \"server\"."))
            })?)),
        };
        let action = some(&asked.action);
        if let Some(action) = &action
            && !Action::ALL
                .iter()
                .any(|known| matches(known.as_str(), action))
        {
            return Err(wrong(
                "action",
                format!(
                    "{action:?} is neither an action such as secrets.set nor a feature with its dot such as secrets."
                ),
            ));
        }
        Ok(Self {
            actor,
            action,
            object: some(&asked.object),
            address: some(&asked.address),
            credential: some(&asked.credential),
            from_ms: time("from", &asked.from)?.map(|(at, _)| at),
            to_ms: time("to", &asked.to)?.map(|(at, length)| at.saturating_add(length - 1)),
            text: some(&asked.q),
        })
    }

    /// The conditions beside the scope's.
    pub fn condition(&self) -> Condition {
        let mut all = Condition::all();
        match self.actor {
            Some(Some(id)) => all = all.add(Column::ActorId.eq(id)),
            Some(None) => all = all.add(Column::ActorId.is_null()),
            None => {}
        }
        if let Some(action) = &self.action {
            let words: Vec<&str> = Action::ALL
                .iter()
                .map(|known| known.as_str())
                .filter(|known| matches(known, action))
                .collect();
            all = all.add(Column::Action.is_in(words));
        }
        for (column, value) in [
            (Column::Object, &self.object),
            (Column::Address, &self.address),
            (Column::Credential, &self.credential),
        ] {
            if let Some(value) = value {
                all = all.add(column.eq(value.as_str()));
            }
        }
        if let Some(from) = self.from_ms {
            all = all.add(Column::AtMs.gte(from));
        }
        if let Some(to) = self.to_ms {
            all = all.add(Column::AtMs.lte(to));
        }
        if let Some(text) = &self.text {
            let like = || LikeExpr::new(pattern(text)).escape('\\');
            let lower = |column| Expr::expr(Func::lower(Expr::col(column)));
            all = all.add(
                Condition::any()
                    .add(lower(Column::Object).like(like()))
                    .add(lower(Column::Detail).like(like())),
            );
        }
        all
    }

    /// What a cursor is bound to: the same question gives the same bytes, and another one others.
    pub fn bytes(&self) -> Vec<u8> {
        format!("{self:?}").into_bytes()
    }
}

/// Whether `word` is what was asked for: the action itself, or one of the feature's.
fn matches(word: &str, asked: &str) -> bool {
    word == asked || (asked.ends_with('.') && word.starts_with(asked))
}

/// `text` anywhere, with what LIKE reads as a wildcard taken as it is.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// A time and how long the named unit lasts, both in milliseconds.
fn time(field: &str, text: &str) -> Result<Option<(i64, i64)>, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(at_ms) = text.parse::<i64>() {
        return Ok(Some((at_ms, 1)));
    }
    let (whole, length) = match text.len() {
        10 => (format!("{text}T00:00:00Z"), DAY_MS),
        16 => (format!("{text}:00Z"), 60_000),
        19 => (format!("{text}Z"), 1_000),
        _ => (text.to_owned(), 1),
    };
    whole
        .parse::<jiff::Timestamp>()
        .map(|at| Some((at.as_millisecond(), length)))
        .map_err(|_| {
            wrong(
                field,
                format!("{text:?} is no time. Write it like 2026-01-31 or 2026-01-31T14:05:00Z."),
            )
        })
}

fn wrong(field: &str, what: String) -> Problem {
    Problem::new(Code::Unprocessable, format!("{field}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_minutes_seconds_or_milliseconds() {
        assert_eq!(time("from", "1970-01-02").unwrap(), Some((DAY_MS, DAY_MS)));
        assert_eq!(
            time("from", "1970-01-01T00:01").unwrap(),
            Some((60_000, 60_000))
        );
        assert_eq!(
            time("from", "1970-01-01T00:00:01+00:00").unwrap(),
            Some((1_000, 1))
        );
        assert_eq!(time("from", "17").unwrap(), Some((17, 1)));
        assert!(time("from", "yesterday").is_err());
    }

    #[test]
    fn a_feature_needs_its_dot_and_wildcards_are_text() {
        let asked = |action: &str| Asked {
            action: action.to_owned(),
            ..Asked::default()
        };
        assert!(Filter::parse(&asked("secrets.")).is_ok());
        assert!(Filter::parse(&asked("secrets.set")).is_ok());
        assert!(Filter::parse(&asked("secrets")).is_err());
        assert!(Filter::parse(&asked("%")).is_err());
        assert_eq!(pattern("50%_A\\"), "%50\\%\\_a\\\\%");
    }
}
