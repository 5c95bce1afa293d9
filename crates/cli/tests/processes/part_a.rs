//! Part A of the command line's contract, as the script that a person can read and run.

use std::process::Command;

#[test]
fn part_a_of_the_contract_holds() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/part_a.sh");
    let output = Command::new("sh")
        .arg(script)
        .env("QUEUECTL", env!("CARGO_BIN_EXE_queuectl"))
        .output()
        .expect("a POSIX shell");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("The contract holds."), "{said}");
}
