//! What a job is given, and what is kept of what it prints.

use crate::harness::{Kept, RUDE_CHILD, status_of};
use queuectl_exec::protocol::{Body, End};
use queuectl_exec::sync_output;
use std::collections::HashMap;

#[test]
fn any_bytes_are_kept_as_they_are() {
    let mut kept = Kept::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    std::fs::write(kept.dir().join("bytes"), &bytes).unwrap();
    let record = kept.run(kept.shell(1, "cat bytes; cat bytes bytes >&2"));
    assert_eq!(kept.body(&record.stdout), bytes);
    assert_eq!(kept.body(&record.stderr), [bytes.clone(), bytes].concat());
}

#[test]
fn standard_input_is_the_file_or_empty() {
    let mut kept = Kept::new();
    std::fs::write(kept.dir().join("input"), "from a file").unwrap();
    let mut start = kept.order(1, &["cat"]);
    start.stdin = Some(kept.dir().join("input").into_os_string().into_encoded_bytes());
    let record = kept.run(start);
    assert_eq!(kept.text(&record.stdout), "from a file");
    let record = kept.run(kept.order(2, &["cat"]));
    assert_eq!((record.end, record.stdout.bytes_total), (End::Exited { code: 0 }, 0));
}

#[test]
fn the_environment_is_the_given_one_and_the_mark() {
    let mut kept = Kept::new();
    let mut start = kept.order(1, &["/usr/bin/env"]);
    start.env = ["A=x\ny", "QUEUECTL_CLAIM=somebody else's", "B="].into_iter().collect();
    let record = kept.run(start);
    let expected = format!("A=x\ny\nB=\nQUEUECTL_CLAIM={}\n", record.claim);
    assert_eq!(kept.text(&record.stdout), expected);
}

#[test]
fn a_job_starts_clean() {
    let mut kept = Kept::new();
    let script = "umask; ls /proc/self/fd | tr '\\n' ' '; cat /proc/self/status; ps -o pgid= -p $$ | tr -d ' '; echo $$";
    let record = kept.run(kept.shell(1, script));
    let text = kept.text(&record.stdout);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("0027"));
    // `ls` itself opens the directory as the fourth.
    assert!(lines.next().unwrap().starts_with("0 1 2 3 "), "{text}");
    let status: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    assert_eq!((status["SigBlk"], status["SigIgn"]), ("0000000000000000", "0000000000000000"));
    let last: Vec<&str> = text.lines().rev().take(2).collect();
    assert_eq!(last[0], last[1], "it leads its process group");
}

#[test]
fn a_broken_pipe_ends_the_writer() {
    let mut kept = Kept::new();
    let record = kept.run(kept.shell(1, "yes | head -n 1"));
    assert_eq!((record.end, kept.text(&record.stdout)), (End::Exited { code: 0 }, "y\n".to_owned()));
}

#[test]
fn usage_is_that_of_the_waited_for_tree() {
    let mut kept = Kept::new();
    let record = kept.run(kept.shell(1, "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"));
    assert!(record.usage.cpu_user_ms + record.usage.cpu_system_ms > 0);
    assert!(record.usage.max_rss_kib > 100);
}

#[test]
fn a_flood_is_kept_head_and_tail_in_bounded_memory() {
    const FLOOD: u64 = 256 * 1024 * 1024;
    let mut kept = Kept::new();
    kept.run(kept.shell(1, "true"));
    let peak = |kept: &Kept| status_of(kept.pid())["VmHWM"].parse::<u64>().unwrap();
    let before = peak(&kept);
    let mut start = kept.rude(2, &["flood", &FLOOD.to_string()]);
    start.output_max = 1024 * 1024;
    let record = kept.run(start);
    assert_eq!(record.end, End::Exited { code: 0 });
    let grown = peak(&kept) - before;
    assert!(grown < 8 * 1024, "the keeper grew by {grown} KiB");
    let out = &record.stdout;
    let kept_bytes = kept.body(out);
    assert_eq!((out.bytes_total, kept_bytes.len()), (FLOOD, 768 * 1024));
    assert_eq!(out.bytes_dropped, FLOOD - 768 * 1024);
    assert_eq!(out.head_len, 384 * 1024);
    // The flood repeats 0 to 255 in blocks, and both ends of what is kept fall on a block's.
    let expected: Vec<u8> = (0..=255).cycle().take(768 * 1024).collect();
    assert!(kept_bytes == expected);
    sync_output(&kept.out_dir(), out).unwrap();
}

#[test]
fn the_last_word_is_kept_however_much_came_before() {
    let mut kept = Kept::new();
    let mut start =
        kept.shell(1, &format!("{RUDE_CHILD} flood 3000000; {RUDE_CHILD} flood 3000000 >&2; echo the end"));
    start.output_max = 200_000;
    let record = kept.run(start);
    assert!(kept.body(&record.stdout).ends_with(b"the end\n"));
    assert_eq!(record.stdout.bytes_total, 3_000_008);
    assert_eq!(record.stderr.bytes_total, 3_000_000);
    assert!(matches!(record.stdout.body, Body::File { len: 150_000, .. }), "{:?}", record.stdout.body);
    assert!(matches!(record.stderr.body, Body::File { len: 50_000, .. }), "{:?}", record.stderr.body);
}
