//! Output for those who want to see it now.

use crate::harness::{Kept, Line};
use queuectl_exec::protocol::{ClaimKey, Event, Request, Stream};

/// What a follower gets of both streams until all is there, with the gaps.
fn follow(line: &mut Line, claim: ClaimKey, from: u64) -> ([Vec<u8>; 2], Vec<(u64, u64)>) {
    line.send(&Request::Follow { claim, stdout_from: from, stderr_from: 0 });
    let mut got = [Vec::new(), Vec::new()];
    let mut next = [from, 0];
    let mut gaps = Vec::new();
    loop {
        match line.next().expect("the keeper has hung up") {
            Event::Chunk { claim: of, stream, from, bytes } => {
                assert_eq!((of, from), (claim, next[stream as usize]));
                assert!(bytes.len() <= 64 * 1024);
                next[stream as usize] += bytes.len() as u64;
                got[stream as usize].extend(bytes);
            }
            Event::Gap { claim: of, stream, from, to } => {
                assert_eq!((of, from), (claim, next[stream as usize]));
                next[stream as usize] = to;
                gaps.push((from, to));
            }
            Event::Ended { claim: of } => {
                assert_eq!(of, claim);
                return (got, gaps);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_follower_gets_everything_from_before_and_after_it_came() {
    let mut kept = Kept::new();
    let script =
        "seq 1 20000; echo early >&2; while [ ! -e go ]; do sleep 0.01; done; seq 20001 40000; echo late >&2";
    let claim = kept.start(kept.shell(1, script));
    kept.has_printed(claim, "\n20000\n");
    let mut line = kept.follower();
    std::fs::write(kept.dir().join("go"), "").unwrap();
    let ([out, err], gaps) = follow(&mut line, claim, 0);
    let expected: String = (1..=40000).map(|n| format!("{n}\n")).collect();
    assert!(out == expected.as_bytes());
    assert_eq!((err.as_slice(), gaps), (&b"early\nlate\n"[..], vec![]));
    let record = kept.exited(claim);
    assert_eq!(kept.text(&record.stdout), expected);
    // Afterwards as well, from wherever one wants, and by more than one.
    let ([out, _], _) = follow(&mut line, claim, expected.len() as u64 - 6);
    assert_eq!(out, b"40000\n");
    kept.line().send(&Request::Settled { claims: vec![claim] });
    let ([out, _], _) = follow(&mut kept.follower(), claim, 0);
    assert!(out == expected.as_bytes(), "for a little while after it is settled");
}

#[test]
fn what_was_dropped_is_a_gap() {
    let mut kept = Kept::new();
    let mut start = kept.shell(1, "seq 1 100000");
    start.output_max = 400_000;
    let record = kept.run(start);
    let all: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    let ([out, _], gaps) = follow(&mut kept.follower(), record.claim, 0);
    assert_eq!(gaps, [(150_000, all.len() as u64 - 150_000)]);
    assert!(out[..150_000] == all.as_bytes()[..150_000]);
    assert!(out[150_000..] == all.as_bytes()[all.len() - 150_000..]);
}

#[test]
fn an_unknown_claim_has_ended() {
    let kept = Kept::new();
    let ([out, err], gaps) = follow(&mut kept.follower(), kept.claim(9), 0);
    assert!(out.is_empty() && err.is_empty() && gaps.is_empty());
}

#[test]
fn the_workers_own_connection_follows_as_well() {
    let mut kept = Kept::new();
    let claim = kept.start(kept.shell(1, "echo hello"));
    kept.line().send(&Request::Follow { claim, stdout_from: 0, stderr_from: 0 });
    let bytes = kept.line().wait_for(|event| match event {
        Event::Chunk { stream: Stream::Stdout, bytes, .. } => Some(bytes.clone()),
        _ => None,
    });
    assert_eq!(bytes, b"hello\n");
    kept.line().wait_for(|event| matches!(event, Event::Ended { .. }).then_some(()));
}

#[test]
fn a_follower_who_does_not_read_holds_up_nothing() {
    let mut kept = Kept::new();
    let claim = kept.start(kept.rude(1, &["flood", "20000000"]));
    let mut idle: Vec<Line> = (0..4).map(|_| kept.follower()).collect();
    for line in &mut idle {
        line.send(&Request::Follow { claim, stdout_from: 0, stderr_from: 0 });
    }
    assert_eq!(kept.exited(claim).stdout.bytes_total, 20_000_000);
    drop(idle);
    kept.run(kept.shell(2, "true"));
}

#[test]
fn a_follower_may_not_give_orders() {
    let mut kept = Kept::new();
    let mut line = kept.follower();
    let start = kept.shell(1, "touch done");
    line.send(&Request::Start(Box::new(start)));
    assert_eq!(line.next(), None);
    kept.run(kept.shell(2, "true"));
    assert!(!kept.dir().join("done").exists());
}
