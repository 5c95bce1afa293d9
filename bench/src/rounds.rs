//! Plays a plan: every contender once a round, one after the other, so that what the machine does besides hits all alike.
//! Every other round goes backwards, so that nobody always comes after the same one.

use std::collections::BTreeMap;

use crate::meter::bounded;
use crate::plan::{Contender, Plan, Role, Sample, Want};
use crate::report::{ContenderReport, FigureReport, GoalReport, Report, Spread};
use crate::stand::{Fault, Scale};

/// What a contender gave, by figure, a value a round; none in a round that it did not take part in.
type Values = BTreeMap<&'static str, Vec<Option<f64>>>;

#[derive(Default)]
struct Given {
    values: Values,
    cpu_ms_per_job: Vec<f64>,
    peak_mib: Vec<f64>,
    jobs: usize,
}

impl Given {
    fn take(&mut self, round: usize, sample: Sample) {
        for (figure, value) in sample.figures {
            let values = self.values.entry(figure).or_default();
            values.resize(round, None);
            values.push(Some(value));
        }
        if let Some(usage) = sample.usage {
            self.cpu_ms_per_job.push(usage.cpu_seconds * 1e3 / sample.jobs.max(1) as f64);
            self.peak_mib.extend(usage.peak_kib.map(|kib| kib as f64 / 1024.0));
        }
        self.jobs = sample.jobs;
    }
}

/// A peer that fails is left out, with all that it gave, and why is told. Ours and the floors have to work: the first round
/// in which one of them fails is the last, and what the rounds before have shown is told as incomplete.
pub fn play(mut plan: Plan<'_>, rounds: usize, scale: Scale) -> Result<Report, Fault> {
    let mut given: BTreeMap<&'static str, Given> = BTreeMap::new();
    for round in 0..rounds {
        let mut out = Vec::new();
        for at in 0..plan.contenders.len() {
            let backwards = round % 2 == 1;
            let at = if backwards { plan.contenders.len() - 1 - at } else { at };
            let contender = &mut plan.contenders[at];
            match one(contender) {
                Ok(sample) => given.entry(contender.name).or_default().take(round, sample),
                Err(fault) if contender.role == Role::Peer => out.push((contender.name, fault.to_string())),
                Err(fault) => {
                    let why = format!("{}: {fault}", contender.name);
                    if round == 0 {
                        return Err(why.into());
                    }
                    let incomplete = Some(format!("round {} failed: {why}", round + 1));
                    return Ok(Report { incomplete, ..report(&plan, &given, round, scale) }.judged());
                }
            }
        }
        for (name, why) in out {
            plan.contenders.retain(|contender| contender.name != name);
            given.remove(name);
            plan.skipped.push((name, format!("failed: {why}")));
        }
    }
    Ok(report(&plan, &given, rounds, scale).judged())
}

fn one(contender: &mut Contender<'_>) -> Result<Sample, Fault> {
    let dir = tempfile::tempdir()?;
    // Nobody pays for what the one before has not yet written.
    nix::unistd::sync();
    bounded(contender.patience, || (contender.run)(dir.path()))
}

fn report(plan: &Plan<'_>, given: &BTreeMap<&'static str, Given>, rounds: usize, scale: Scale) -> Report {
    let contenders = plan.contenders.iter().filter_map(|contender| {
        let given = given.get(contender.name)?;
        let figures = plan.figures.iter().filter_map(|figure| {
            let values: Vec<f64> = given.values.get(figure.name)?.iter().flatten().copied().collect();
            Some(FigureReport {
                name: figure.name.to_owned(),
                unit: figure.unit.to_owned(),
                spread: Spread::of(&values)?,
                values,
            })
        });
        Some(ContenderReport {
            name: contender.name.to_owned(),
            role: contender.role.name().to_owned(),
            durability: contender.durability.to_owned(),
            setting: contender.setting.clone(),
            jobs: given.jobs,
            figures: figures.collect(),
            cpu_ms_per_job: Spread::of(&given.cpu_ms_per_job),
            peak_mib: Spread::of(&given.peak_mib),
        })
    });
    let goals = plan.goals.iter().map(|goal| {
        let values = |name: &str| given.get(name).and_then(|given| given.values.get(goal.figure));
        let of = values(goal.of).cloned().unwrap_or_default();
        let numbers: Vec<f64> = match goal.against {
            None => of.into_iter().flatten().collect(),
            Some(against) => {
                let against = values(against).cloned().unwrap_or_default();
                of.into_iter().zip(against).filter_map(|(of, against)| Some(of? / against?)).collect()
            }
        };
        let spread = Spread::of(&numbers);
        GoalReport {
            figure: goal.figure.to_owned(),
            of: goal.of.to_owned(),
            against: goal.against.map(str::to_owned),
            want: wanted(goal.want),
            holds: spread.and_then(|spread| goal.want.holds(spread.median)),
            voids: matches!(goal.want, Want::ValidIfAtLeast(_)),
            verdict: "",
            spread,
        }
    });
    Report {
        scenario: plan.name.to_owned(),
        about: plan.about.clone(),
        rounds,
        scale: scale.name().to_owned(),
        contenders: contenders.collect(),
        goals: goals.collect(),
        skipped: plan.skipped.iter().map(|(name, why)| ((*name).to_owned(), why.clone())).collect(),
        void: false,
        incomplete: None,
    }
}

fn wanted(want: Want) -> String {
    match want {
        Want::AtLeast(bound) => format!(">= {bound}"),
        Want::AtMost(bound) => format!("<= {bound}"),
        Want::ValidIfAtLeast(bound) => format!("valid if >= {bound}"),
        Want::Told => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::plan::Goal;

    const RATE: &str = "rate";

    /// A plan of one of ours, a floor and a peer, each by what it gives in each round.
    fn plan<'a>(
        rates: [(&'static str, Role, &'a [Option<f64>]); 3],
        told: &'a RefCell<Vec<&'static str>>,
    ) -> Plan<'a> {
        let mut plan = Plan::new("some", "rates", &[(RATE, "jobs/s")]);
        for (name, role, rates) in rates {
            let mut rates = rates.iter();
            plan.contender(Contender::new(role, name, "-", "-", move |_| {
                told.borrow_mut().push(name);
                let rate = rates.next().copied().flatten().ok_or("it broke")?;
                Ok(Sample::of(RATE, rate).over(7))
            }));
        }
        plan.goal(Goal::ratio(RATE, "floor", "peer", Want::ValidIfAtLeast(1.0)));
        plan.goal(Goal::ratio(RATE, "ours", "floor", Want::AtLeast(0.5)));
        plan
    }

    fn verdicts(report: &Report) -> Vec<&str> {
        report.goals.iter().map(|goal| goal.verdict).collect()
    }

    #[test]
    fn a_floor_that_is_none_voids_every_goal() {
        let told = RefCell::default();
        let rates = |floor| {
            [
                ("ours", Role::Ours, &[Some(9.0)][..]),
                ("floor", Role::Floor, floor),
                ("peer", Role::Peer, &[Some(5.0)]),
            ]
        };
        let valid = play(plan(rates(&[Some(10.0)]), &told), 1, Scale::Tiny).expect("all work");
        assert_eq!((verdicts(&valid), valid.is_sound()), (vec!["met", "met"], true));
        let void = play(plan(rates(&[Some(4.0)]), &told), 1, Scale::Tiny).expect("all work");
        assert_eq!((verdicts(&void), void.is_sound()), (vec!["VOID", "VOID"], false));
        assert_eq!(serde_json::to_value(&void).expect("it is data")["goals"][1]["verdict"], "VOID");
    }

    #[test]
    fn a_peer_that_fails_later_has_given_nothing() {
        let told = RefCell::default();
        let ten = [Some(10.0), Some(10.0)];
        let rates = [
            ("ours", Role::Ours, &ten[..]),
            ("floor", Role::Floor, &ten),
            ("peer", Role::Peer, &[Some(5.0)]),
        ];
        let report = play(plan(rates, &told), 2, Scale::Tiny).expect("a peer may fail");
        assert_eq!(verdicts(&report), ["not measured", "met"]);
        assert_eq!(report.skipped, [("peer".to_owned(), "failed: it broke".to_owned())]);
        assert_eq!(
            *told.borrow(),
            ["ours", "floor", "peer", "peer", "floor", "ours"],
            "the second goes backwards"
        );
    }

    #[test]
    fn what_was_measured_before_ours_failed_is_told_and_not_judged() {
        let told = RefCell::default();
        let ten = [Some(10.0), Some(10.0)];
        let rates =
            [("ours", Role::Ours, &ten[..1]), ("floor", Role::Floor, &ten), ("peer", Role::Peer, &ten)];
        let report = play(plan(rates, &told), 2, Scale::Tiny).expect("one round is whole");
        assert_eq!((verdicts(&report), report.rounds), (vec!["incomplete", "incomplete"], 1));
        assert_eq!(report.incomplete.as_deref(), Some("round 2 failed: ours: it broke"));
        assert!(!report.is_sound());
    }
}
