//! Instants for people: "3m ago" on a terminal, ISO-8601 in UTC everywhere else.

use queuectl::core::time::Timestamp;

use crate::terminal::stdout_is_terminal;

/// How instants are told.
#[derive(Debug, Clone, Copy)]
pub enum Times {
    Iso,
    /// As seen from this instant.
    Relative(Timestamp),
}

impl Times {
    /// As standard output wants them.
    pub fn on_stdout(now: Timestamp) -> Times {
        if stdout_is_terminal() { Times::Relative(now) } else { Times::Iso }
    }

    /// An instant of a view: "3m ago", "in 12s", or itself.
    pub fn tell(self, instant: &str) -> String {
        match (self, instant.parse::<jiff::Timestamp>()) {
            (Times::Relative(now), Ok(then)) => relative(then.as_millisecond() - now.millis()),
            _ => instant.to_owned(),
        }
    }

    /// The same in a sentence: "in 12s", "at 2026-01-02T03:04:05.678Z".
    pub fn tell_due(self, instant: &str) -> String {
        match self {
            Times::Relative(_) => self.tell(instant),
            Times::Iso => format!("at {instant}"),
        }
    }
}

/// What lies ahead is rounded up, so that it is zero only when it is due.
fn relative(millis: i64) -> String {
    if (-999..=0).contains(&millis) {
        return "now".to_owned();
    }
    let seconds = if millis > 0 { (millis + 999) / 1000 } else { -millis / 1000 };
    let amount = amount(seconds);
    if millis > 0 { format!("in {amount}") } else { format!("{amount} ago") }
}

/// A length of time in its largest unit: "3m".
pub fn amount(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_told_as_seen_from_now() {
        let now = Timestamp::from_millis(1_767_323_045_678);
        let cases: [(i64, &str); 9] = [
            (0, "now"),
            (-999, "now"),
            (1, "in 1s"),
            (12_000, "in 12s"),
            (-59_999, "59s ago"),
            (-180_000, "3m ago"),
            (-7_200_000, "2h ago"),
            (172_800_000, "in 2d"),
            (-40 * 86_400_000, "40d ago"),
        ];
        for (millis, expected) in cases {
            let then = Timestamp::from_millis(now.millis() + millis).to_string();
            assert_eq!(Times::Relative(now).tell(&then), expected, "{millis}");
            assert_eq!(Times::Iso.tell(&then), then);
        }
        assert_eq!(Times::Iso.tell_due("2026-01-02T03:04:05.678Z"), "at 2026-01-02T03:04:05.678Z");
    }
}
