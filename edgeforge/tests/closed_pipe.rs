//! A program whose reader has gone ends, and says nothing.

#![allow(clippy::unwrap_used)] // a test

use edge_host::child::Child;

#[test]
fn a_closed_pipe_ends_quietly() {
    // More than a pipe holds, in one call and line by line.
    for words in ["schema user-data", "--help"] {
        let script = format!("\"$0\" {words} | true; echo ${{PIPESTATUS[0]}}");
        let program = env!("CARGO_BIN_EXE_edgeforge");
        let outcome = Child::new("bash").args(["-c", &script, program]).outcome().unwrap();
        assert_eq!(outcome.stderr, "", "{words}");
        let status = String::from_utf8_lossy(&outcome.stdout).trim().to_owned();
        assert!(["0", "141"].contains(&status.as_str()), "{words}: {status}");
    }
}
