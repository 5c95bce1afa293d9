//! Bytes of strangers, as the fuzz targets feed them, for a moment: good input with a few bytes changed, cut or doubled.

use proptest::prelude::*;
use queuectl_exec::protocol::{ClaimKey, Event, OnCrash, Request, Stream};
use queuectl_exec::spool::{self, SpoolRecord};
use queuectl_exec::wire::encode;

#[path = "../../../../fuzz/feed.rs"]
mod targets;

/// Something is done to the bytes.
#[derive(Debug, Clone)]
enum Harm {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Double(prop::sample::Index),
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Harm::Set(at, byte)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Harm::Flip(at, bit)),
        at().prop_map(Harm::Cut),
        (at(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Harm::Insert(at, bytes)),
        at().prop_map(Harm::Double),
    ]
}

fn harmed(mut bytes: Vec<u8>, harms: &[Harm]) -> Vec<u8> {
    for harm in harms {
        let len = bytes.len();
        if len == 0 {
            break;
        }
        match harm {
            Harm::Set(at, byte) => bytes[at.index(len)] = *byte,
            Harm::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Harm::Cut(at) => bytes.truncate(at.index(len)),
            Harm::Insert(at, more) => drop(bytes.splice(at.index(len)..at.index(len), more.iter().copied())),
            Harm::Double(at) => bytes.extend_from_within(at.index(len)..),
        }
    }
    bytes
}

fn near(good: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let near = (prop::sample::select(good), prop::collection::vec(harm(), 0..4));
    prop_oneof![
        9 => near.prop_map(|(bytes, harms)| harmed(bytes, &harms)),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn texts(good: &[&str]) -> impl Strategy<Value = Vec<u8>> {
    near(good.iter().map(|text| text.as_bytes().to_vec()).collect())
}

fn jobs() -> impl Strategy<Value = Vec<u8>> {
    texts(&[
        r#"{"id":"job1","command":"sleep 2","max_retries":3}"#,
        r#"{"args":["a","b"],"timeout":"1h30m","run_at":"2030-01-01T00:00:00Z","tags":{"a":"b"}}"#,
        r#"[{"command":"true"},{"command":"false","priority":-3,"delay":1.5,"env":{"A":"B"}}]"#,
        "{\"command\":\"a\"}\n{\"command\":\"b\",\"backoff\":\"fixed\",\"backoff_base\":2}\n",
        "\u{feff}{\"command\":\"\\u00e9\\ud83d\\ude00\",\"no_retry_on\":\"1,3-5\",\"ok_codes\":[0,2]}",
    ])
}

fn frames() -> Vec<Vec<u8>> {
    let claim = ClaimKey { incarnation: u64::MAX, number: 300 };
    let requests = [
        Request::Hello { version: 1 },
        Request::Settled { claims: vec![claim; 9] },
        Request::Follow { claim, stdout_from: 0, stderr_from: u64::MAX },
        Request::Adopt { on_crash: OnCrash::Adopt },
    ];
    let events = [
        Event::Hello { version: 1, keeper: "k1".to_owned(), pid: 7 },
        Event::Chunk { claim, stream: Stream::Stderr, from: 9, bytes: vec![0; 40] },
        Event::Adopted { running: vec![claim], lost: vec![] },
    ];
    let one = |frames: Vec<Vec<u8>>| [vec![5], frames.concat()].concat();
    vec![
        one(requests.iter().map(|one| encode(one).expect("small")).collect()),
        one(events.iter().map(|one| encode(one).expect("small")).collect()),
    ]
}

fn spools() -> Vec<Vec<u8>> {
    let claim = ClaimKey { incarnation: 3, number: 1 };
    let records = [
        SpoolRecord::Intent { claim, cgroup: None },
        SpoolRecord::Settled { claim },
        SpoolRecord::Intent { claim, cgroup: None },
    ];
    vec![records.iter().flat_map(|record| spool::encode(record).expect("small")).collect()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_job_json_is_read_or_refused(bytes in jobs()) {
        targets::job_json(&bytes);
    }

    #[test]
    fn any_duration_is_read_or_refused(
        bytes in texts(&["90", "1.5", "500ms", "5m", "2h30m", "7d", "1e3", "100000h", "1 hour 2 min", "P1DT3H", "-3s"])
    ) {
        targets::duration(&bytes);
    }

    #[test]
    fn any_frame_is_read_or_refused(bytes in near(frames())) {
        targets::frames(&bytes);
    }

    #[test]
    fn any_spool_is_read_as_far_as_it_is_good(bytes in near(spools())) {
        targets::spool_file(&bytes);
    }

    #[test]
    fn any_selector_is_read_or_refused(bytes in texts(&["all", "last", "last:3", "last:+1", "01hzx", "job1"])) {
        targets::selector(&bytes);
    }
}
