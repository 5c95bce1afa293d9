//! Tests of `request::into_job`.

use std::time::Duration;

use jiff::tz::TimeZone;
use queuectl_core::command::Command;
use queuectl_core::id::JobId;
use queuectl_core::job::{Due, JobSpec, Leftovers, NewJob};
use queuectl_core::queue::QueueName;
use queuectl_core::retry::Backoff;
use queuectl_core::settings::Settings;
use queuectl_core::time::Timestamp;

use super::super::{Enqueuer, JobRequest, RequestError};
use super::request;

fn settings(values: &[(Option<&str>, &str, &str)]) -> Settings {
    let queue = |name: &str| QueueName::new(name).expect("valid");
    let entry = |(name, key, value): &(Option<&str>, &str, &str)| {
        ((name.map(queue), (*key).to_owned()), (*value).to_owned())
    };
    Settings { version: 1, values: values.iter().map(entry).collect() }
}

fn enqueuer(variables: &[(&str, &str)]) -> Enqueuer {
    let variable = |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    Enqueuer {
        dir: Some(b"/home/ann".to_vec()),
        variables: variables.iter().map(variable).collect(),
        time_zone: || TimeZone::get("Europe/Berlin").expect("it is bundled"),
    }
}

fn try_job(request: JobRequest, settings: &Settings, enqueuer: &Enqueuer) -> Result<NewJob, RequestError> {
    request.into_job(&mut || JobId::new("generated").expect("valid"), settings, enqueuer)
}

fn job(json: &str) -> NewJob {
    try_job(request(json), &Settings::default(), &enqueuer(&[]))
        .unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn variables(spec: &JobSpec) -> Vec<String> {
    let lossy = |bytes| String::from_utf8_lossy(bytes);
    spec.environment.iter().map(|(name, value)| format!("{}={}", lossy(name), lossy(value))).collect()
}

#[test]
fn what_is_not_said_follows_from_the_settings_of_the_queue() {
    let settings = settings(&[
        (None, "max-retries", "5"),
        (Some("mail"), "max-retries", "7"),
        (None, "job-timeout", "90"),
    ]);
    let retries_and_timeout = |json: &str| {
        let spec = try_job(request(json), &settings, &enqueuer(&[])).expect("valid").spec;
        (spec.max_retries, spec.timeout)
    };
    let ninety = Some(Duration::from_secs(90));
    let cases = [
        (r#"{"command": "a"}"#, (5, ninety)),
        (r#"{"command": "a", "queue": "mail"}"#, (7, ninety)),
        (
            r#"{"command": "a", "queue": "mail", "max_retries": 0, "timeout": 1}"#,
            (0, Some(Duration::from_secs(1))),
        ),
        (r#"{"command": "a", "timeout": 0}"#, (5, None)),
        (r#"{"command": "a", "timeout": "none"}"#, (5, None)),
    ];
    for (json, expected) in cases {
        assert_eq!(retries_and_timeout(json), expected, "{json}");
    }
}

#[test]
fn what_is_said_reaches_the_job() {
    let job = job(
        r#"{"id": "a", "args": ["ls", "-l"], "queue": "q", "priority": 9, "max_retries": 2, "delay": 5,
            "backoff": "fixed", "backoff_base": 3, "backoff_max": 60, "backoff_jitter": true, "no_retry_on": [7, 2, 7],
            "ok_codes": [3], "at_most_once": true, "leftovers": "keep", "tags": {"a": "b"}, "kill_grace": 1,
            "output_max": "1M", "crash_limit": 2}"#,
    );
    assert_eq!((job.id.as_str(), job.generated, job.due), ("a", false, Due::After(Duration::from_secs(5))));
    let spec = job.spec;
    assert_eq!(spec.command, Some(Command::Argv(vec![b"ls".to_vec(), b"-l".to_vec()])));
    assert_eq!((spec.queue.as_str(), spec.priority, spec.max_retries), ("q", 9, 2));
    assert_eq!((spec.retry.backoff, spec.retry.base, spec.retry.jitter), (Backoff::Fixed, 3.0, true));
    assert_eq!((spec.retry.max, spec.kill_grace), (Duration::from_mins(1), Duration::from_secs(1)));
    assert_eq!((spec.exits.no_retry_on, spec.exits.ok_codes), (vec![2, 7], vec![3]));
    assert_eq!((spec.at_most_once, spec.leftovers), (true, Leftovers::Keep));
    assert_eq!((spec.output_max, spec.crash_limit, spec.tags["a"].as_str()), (1 << 20, 2, "b"));
}

#[test]
fn an_id_is_generated_only_if_none_is_given() {
    let made = job(r#"{"command": "a"}"#);
    assert_eq!((made.id.as_str(), made.generated, made.due), ("generated", true, Due::Now));
    let named = request(r#"{"id": "mine", "command": "a"}"#).into_job(
        &mut || panic!("an id is there"),
        &Settings::default(),
        &Enqueuer::default(),
    );
    assert_eq!(named.expect("valid").id.as_str(), "mine");
}

#[test]
fn an_instant_is_read_in_the_enqueuers_time_zone() {
    let at = |json: &str| job(json).due;
    let millis = |millis| Due::At(Timestamp::from_millis(millis));
    assert_eq!(at(r#"{"command": "a", "run_at": "2026-01-02T04:04:05"}"#), millis(1_767_323_045_000));
    assert_eq!(at(r#"{"command": "a", "run_at": "2026-01-02T04:04:05Z"}"#), millis(1_767_326_645_000));
    assert_eq!(at(r#"{"command": "a", "run_at": 1767323045}"#), millis(1_767_323_045_000));
    assert_eq!(at(r#"{"command": "a", "run_at": "+5m"}"#), Due::After(Duration::from_mins(5)));
    let error =
        try_job(request(r#"{"command": "a", "run_at": "soon"}"#), &Settings::default(), &Enqueuer::default());
    assert!(matches!(error, Err(RequestError::RunAt { .. })), "{error:?}");
}

#[test]
fn the_environment_takes_what_always_travels_what_is_passed_and_what_is_set() {
    let ann = enqueuer(&[
        ("PATH", "/bin"),
        ("LANG", "de"),
        ("LC_ALL", "C"),
        ("TZ", "UTC"),
        ("VIRTUAL_ENV", "/v"),
        ("CONDA_PREFIX", "/c"),
        ("HOME", "/home/ann"),
        ("AWS_KEY", "k"),
        ("LANGUAGE", "de"),
        ("QUEUECTL_DB", "/q"),
    ]);
    let always = ["CONDA_PREFIX=/c", "LANG=de", "LC_ALL=C", "PATH=/bin", "TZ=UTC", "VIRTUAL_ENV=/v"];
    let cases: [(&str, &str, &[&str]); 7] = [
        ("{}", "", &[]),
        (r#"{"pass": ["HOME", "ABSENT"]}"#, "", &["HOME=/home/ann"]),
        ("{}", "HOME, AWS_*", &["AWS_KEY=k", "HOME=/home/ann"]),
        (r#"{"pass": ["HOME"]}"#, "AWS_KEY", &["AWS_KEY=k", "HOME=/home/ann"]),
        (r#"{"pass": "all"}"#, "", &["AWS_KEY=k", "HOME=/home/ann", "LANGUAGE=de"]),
        ("{}", "QUEUECTL_DB", &[]),
        (r#"{"env": {"HOME": "/tmp", "X": "1"}, "pass": ["HOME"]}"#, "", &["HOME=/tmp", "X=1"]),
    ];
    for (json, pass_env, besides) in cases {
        let asked = JobRequest { command: Some("a".to_owned()), ..request(json) };
        let settings = settings(&[(None, "pass-env", pass_env)]);
        let spec = try_job(asked, &settings, &ann).expect("valid").spec;
        let mut expected: Vec<&str> = always.iter().chain(besides).copied().collect();
        expected.sort_unstable();
        assert_eq!(variables(&spec), expected, "{json} with {pass_env}");
    }
}

#[test]
fn paths_are_seen_from_the_enqueuers_directory() {
    let cases = [
        ("{}", Some("/home/ann"), None),
        (r#"{"dir": "/srv"}"#, Some("/srv"), None),
        (r#"{"dir": "sub/./x"}"#, Some("/home/ann/sub/x"), None),
        (r#"{"dir": "."}"#, Some("/home/ann"), None),
        (r#"{"dir": "../bob"}"#, Some("/home/ann/../bob"), None),
        (r#"{"dir": "/srv", "stdin": "in"}"#, Some("/srv"), Some("/home/ann/in")),
        (r#"{"stdin": "/in"}"#, Some("/home/ann"), Some("/in")),
    ];
    let bytes = |path: Option<&str>| path.map(|path| path.as_bytes().to_vec());
    for (json, dir, stdin) in cases {
        let asked = JobRequest { command: Some("a".to_owned()), ..request(json) };
        let spec = try_job(asked, &Settings::default(), &enqueuer(&[])).expect("valid").spec;
        assert_eq!((spec.dir, spec.stdin), (bytes(dir), bytes(stdin)), "{json}");
    }
    let nowhere = try_job(request(r#"{"command": "a"}"#), &Settings::default(), &Enqueuer::default());
    assert_eq!(nowhere.expect("valid").spec.dir, None);
    let lost =
        try_job(request(r#"{"command": "a", "dir": "x"}"#), &Settings::default(), &Enqueuer::default());
    assert!(matches!(lost, Err(RequestError::Path { field: "dir", .. })), "{lost:?}");
}

#[test]
fn a_request_made_in_code_is_checked_too() {
    let command = || JobRequest { command: Some("a".to_owned()), ..JobRequest::default() };
    let cases = [
        (JobRequest::default(), "no command"),
        (JobRequest { priority: Some(i32::MIN), ..command() }, "`priority`"),
        (JobRequest { max_retries: Some(u32::MAX), ..command() }, "max-retries"),
        (JobRequest { backoff_base: Some(f64::NAN), ..command() }, "backoff-base"),
        (JobRequest { backoff_base: Some(0.5), ..command() }, "backoff-base"),
        (JobRequest { backoff_base: Some(f64::INFINITY), ..command() }, "backoff-base"),
        (JobRequest { timeout: Some(Duration::MAX), ..command() }, "hundred years"),
        (JobRequest { delay: Some(Duration::MAX), ..command() }, "hundred years"),
        (JobRequest { ok_codes: Some(vec![-1]), ..command() }, "`ok_codes`"),
        (JobRequest { output_max: Some(0), ..command() }, "output-max"),
        (JobRequest { crash_limit: Some(0), ..command() }, "crash-limit"),
        (JobRequest { id: Some("all".to_owned()), ..command() }, "selector"),
        (JobRequest { args: Some(vec![b"a".to_vec()]), ..command() }, "exclude each other"),
    ];
    for (request, words) in cases {
        let error = try_job(request, &Settings::default(), &Enqueuer::default()).expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.in_job(3).to_string().starts_with("job 3: "));
    }
}
