//! Times as people read them.

/// `2026-01-31 14:05 UTC`.
pub fn minute(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
        .unwrap_or_default()
}

/// `2026-01-31`, in UTC.
pub fn day(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .map(|at| at.strftime("%Y-%m-%d").to_string())
        .unwrap_or_default()
}

/// The last millisecond of a day that is written as [`day`] writes it.
pub fn end_of_day(day: &str) -> Option<i64> {
    let day: jiff::civil::Date = day.parse().ok()?;
    let end = day.at(23, 59, 59, 999_000_000);
    let end = jiff::tz::TimeZone::UTC.to_timestamp(end).ok()?;
    Some(end.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_in_utc() {
        assert_eq!(end_of_day("1970-01-01"), Some(86_399_999));
        assert_eq!(day(86_399_999), "1970-01-01");
        for text in ["", "1970-13-01", "soon", "31.01.1970"] {
            assert_eq!(end_of_day(text), None, "{text}");
        }
    }
}
