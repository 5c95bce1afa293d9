//! What came of a scenario, as data; printed as a table, as JSON, or into a document.

mod document;
mod number;
mod plot;
mod table;

use serde::Serialize;

pub use document::write as write_document;
pub use table::print as table;

/// Median, least and most of the rounds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Spread { median: f64::midpoint(lower, upper), min, max })
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub scenario: String,
    pub about: String,
    pub rounds: usize,
    pub scale: String,
    pub contenders: Vec<ContenderReport>,
    pub goals: Vec<GoalReport>,
    pub skipped: Vec<(String, String)>,
    /// What has to hold for the run to say anything did not: no goal is judged.
    pub void: bool,
    /// Why not all rounds were played.
    pub incomplete: Option<String>,
}

/// Fewer say little of how much the figures vary.
const ROUNDS_WANTED: usize = 5;

impl Report {
    /// With a verdict on each goal.
    pub fn judged(mut self) -> Report {
        self.void = self.goals.iter().any(|goal| goal.voids && goal.holds == Some(false));
        for goal in &mut self.goals {
            goal.verdict = match (goal.spread, goal.holds) {
                _ if self.void => "VOID",
                _ if self.incomplete.is_some() => "incomplete",
                (None, _) => "not measured",
                (_, Some(true)) => "met",
                (_, Some(false)) => "not met",
                (_, None) => "",
            };
        }
        self
    }

    /// Whether it can be quoted.
    pub fn is_sound(&self) -> bool {
        !self.void && self.incomplete.is_none()
    }

    /// How much was measured.
    pub fn extent(&self) -> String {
        let few =
            if self.rounds < ROUNDS_WANTED { format!(", fewer than {ROUNDS_WANTED}") } else { String::new() };
        let incomplete = self.incomplete.iter().map(|why| format!("; incomplete: {why}"));
        let void =
            self.void.then(|| "; VOID: what has to hold for the figures to mean anything did not".to_owned());
        let rest: String = incomplete.chain(void).collect();
        format!("{} rounds{few}, scale {}{rest}", self.rounds, self.scale)
    }
}

#[derive(Debug, Serialize)]
pub struct ContenderReport {
    pub name: String,
    pub role: String,
    pub durability: String,
    pub setting: String,
    /// 0 if jobs are not what is counted.
    pub jobs: usize,
    pub figures: Vec<FigureReport>,
    pub cpu_ms_per_job: Option<Spread>,
    pub peak_mib: Option<Spread>,
}

#[derive(Debug, Serialize)]
pub struct FigureReport {
    pub name: String,
    pub unit: String,
    pub spread: Spread,
    pub values: Vec<f64>,
}

#[derive(Debug, Serialize)]
pub struct GoalReport {
    pub figure: String,
    pub of: String,
    pub against: Option<String>,
    pub spread: Option<Spread>,
    pub want: String,
    pub holds: Option<bool>,
    /// If it does not hold, the whole run says nothing.
    pub voids: bool,
    pub verdict: &'static str,
}

impl GoalReport {
    pub fn what(&self) -> String {
        match &self.against {
            Some(against) => format!("{} / {against}", self.of),
            None => self.of.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]).expect("there are values");
        assert_eq!((spread.median, spread.min, spread.max), (2.5, 1.0, 4.0));
        assert!(Spread::of(&[]).is_none());
    }
}
