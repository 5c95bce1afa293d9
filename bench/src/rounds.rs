//! Plays a plan: every contender once a round, one after the other, so that what the machine does besides hits all alike.

use std::collections::BTreeMap;

use crate::plan::{Contender, Plan, Role, Want};
use crate::report::{ContenderReport, FigureReport, GoalReport, Report, Spread};
use crate::stand::{Fault, Scale};

/// What a contender gave, by figure, a value a round; none in a round that it did not take part in.
type Values = BTreeMap<&'static str, Vec<Option<f64>>>;

#[derive(Default)]
struct Given {
    values: Values,
    cpu_ms_per_job: Vec<f64>,
    peak_mib: Vec<f64>,
}

/// A peer that fails is left out, and why is told. Ours and the floors have to work.
pub fn play(mut plan: Plan<'_>, rounds: usize, scale: Scale) -> Result<Report, Fault> {
    let mut given: BTreeMap<&'static str, Given> = BTreeMap::new();
    for round in 0..rounds {
        let mut out = Vec::new();
        for contender in &mut plan.contenders {
            match one(contender) {
                Ok(sample) => {
                    let entry = given.entry(contender.name).or_default();
                    for (figure, value) in sample.figures {
                        let values = entry.values.entry(figure).or_default();
                        values.resize(round, None);
                        values.push(Some(value));
                    }
                    if let Some(usage) = sample.usage {
                        entry.cpu_ms_per_job.push(usage.cpu_seconds * 1e3 / sample.jobs.max(1) as f64);
                        entry.peak_mib.extend(usage.peak_kib.map(|kib| kib as f64 / 1024.0));
                    }
                }
                Err(fault) if contender.role == Role::Peer => out.push((contender.name, fault.to_string())),
                Err(fault) => return Err(format!("{}: {fault}", contender.name).into()),
            }
        }
        plan.contenders.retain(|contender| out.iter().all(|(name, _)| *name != contender.name));
        plan.skipped.extend(out.into_iter().map(|(name, why)| (name, format!("failed: {why}"))));
    }
    Ok(report(&plan, &given, rounds, scale))
}

fn one(contender: &mut Contender<'_>) -> Result<crate::plan::Sample, Fault> {
    let dir = tempfile::tempdir()?;
    (contender.run)(dir.path())
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
