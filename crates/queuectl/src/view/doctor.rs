//! What an examination of a store found.

use serde::Serialize;

use super::SCHEMA;
use crate::open::SalvageReport;

/// What `doctor` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoctorView {
    pub schema: u32,
    pub store: String,
    /// No finding is a problem.
    pub healthy: bool,
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `ok`, `warning` or `problem`.
    pub level: &'static str,
    pub code: &'static str,
    pub message: String,
    /// What to do; `null` where all is well.
    pub hint: Option<String>,
}

/// What `doctor --salvage` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SalvageView {
    pub schema: u32,
    pub from: String,
    pub to: String,
    /// Jobs that were saved.
    pub jobs: u64,
    /// Those of them that are dead now, each with the reason: they cannot be run as enqueued, or may have run since.
    pub buried: u64,
    /// Jobs that were there and could not be saved; `null` if nobody can tell.
    pub lost: Option<u64>,
    /// Some of their ids.
    pub lost_ids: Vec<String>,
    pub attempts: u64,
    /// What else may not be all there, in words.
    pub gaps: Vec<&'static str>,
    pub outputs: u64,
    /// Output files that are named and were not there.
    pub outputs_missing: u64,
    /// Everything was saved.
    pub complete: bool,
}

impl SalvageView {
    pub fn new(from: String, to: String, report: SalvageReport) -> SalvageView {
        let whole = report.lost == Some(0) && report.buried == 0;
        let complete = whole && report.gaps.is_empty() && report.outputs_missing == 0;
        SalvageView {
            schema: SCHEMA,
            from,
            to,
            jobs: report.jobs,
            buried: report.buried,
            lost: report.lost,
            lost_ids: report.lost_ids,
            attempts: report.attempts,
            gaps: report.gaps.into_iter().collect(),
            outputs: report.outputs,
            outputs_missing: report.outputs_missing,
            complete,
        }
    }
}

impl DoctorView {
    pub fn new(store: String, findings: Vec<Finding>) -> DoctorView {
        let healthy = findings.iter().all(|finding| finding.level != "problem");
        DoctorView { schema: SCHEMA, store, healthy, findings }
    }
}

impl Finding {
    pub fn ok(code: &'static str, message: String) -> Finding {
        Finding { level: "ok", code, message, hint: None }
    }

    pub fn warning(code: &'static str, message: String, hint: &str) -> Finding {
        Finding { level: "warning", code, message, hint: Some(hint.to_owned()) }
    }

    pub fn problem(code: &'static str, message: String, hint: &str) -> Finding {
        Finding { level: "problem", code, message, hint: Some(hint.to_owned()) }
    }
}
