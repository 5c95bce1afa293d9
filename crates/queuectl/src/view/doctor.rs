//! What an examination of a store found.

use serde::Serialize;

use super::SCHEMA;

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
