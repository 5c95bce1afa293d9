//! What jobs printed.

use std::io::Read;

use queuectl::Error;
use queuectl::core::outcome::{Output, OutputBody};
use queuectl_testing::given::{Turn, claim_one, exited, ids, outcome, printed};

use crate::place::Place;

/// `head` and `tail` are kept of more.
pub fn gapped(head: &str, dropped: u64, tail: &str) -> Output {
    let mut output = printed(&format!("{head}{tail}"));
    output.head_len = head.len() as u64;
    output.bytes_dropped = dropped;
    output.bytes_total += dropped;
    output
}

fn in_file(place: &Place, name: &str, output: &Output) -> Output {
    let OutputBody::Inline(bytes) = &output.body else { panic!("it is inline") };
    let out_dir = place.client.place().out_dir;
    std::fs::create_dir_all(&out_dir).expect("a directory");
    std::fs::write(out_dir.join(name), bytes).expect("a file");
    let body = OutputBody::File { name: name.to_owned(), len: bytes.len() as u64 };
    Output { body, ..output.clone() }
}

fn read(place: &Place, output: &Output, marked: bool) -> String {
    let mut text = String::new();
    let mut reader = place.client.read_output(output, marked).expect("it opens");
    reader.read_to_string(&mut text).expect("it reads");
    text
}

#[tokio::test]
async fn a_note_stands_where_bytes_were_dropped() {
    let place = Place::new().await;
    let inline = gapped("head\n", 1_000, "tail\n");
    for output in [in_file(&place, "one", &inline), inline] {
        let marked = "head\n\n[... 1000 bytes were not kept ...]\ntail\n";
        assert_eq!(read(&place, &output, true), marked);
        assert_eq!(read(&place, &output, false), "head\ntail\n", "bytes alone");
    }
}

#[tokio::test]
async fn what_was_kept_whole_has_no_note() {
    let place = Place::new().await;
    assert_eq!(read(&place, &printed("all of it"), true), "all of it");
    assert_eq!(read(&place, &Output::default(), true), "");
}

#[tokio::test]
async fn output_goes_with_its_job() {
    let place = Place::new().await;
    place.enqueue(&["a"]).await;
    let claim = claim_one(&*place.store, "worker").await;
    let mut settle = outcome(&claim, exited(0));
    settle.attempt.stdout = in_file(&place, "one", &printed("long"));
    settle.attempt.stderr = printed("short");
    Turn::of("worker").settle(settle).at(&*place.store).await;
    let attempts = place.client.attempts(&ids(&["a"])[0]).await.expect("the store works");
    assert_eq!(read(&place, &attempts[0].stdout, true), "long");
    assert_eq!(read(&place, &attempts[0].stderr, true), "short");
    place.client.delete(&ids(&["a"])).await.expect("the store works");
    assert!(!place.client.place().out_dir.join("one").exists());
    let gone = place.client.read_output(&attempts[0].stdout, true);
    assert!(matches!(gone.err(), Some(Error::File { .. })), "the file is named");
}
