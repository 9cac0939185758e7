//! The whole job, twice: what was planted is found, tickets are filed, and the second time nothing is filed again.

use serde_json::Value;

use crate::support::{command, end_of};

#[tokio::test(flavor = "multi_thread")]
async fn demo_finds_what_was_planted_and_files_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["demo", "--data", "kept", "--report", "json=report.json"];
    for (round, expected) in [(1, "12 created, 0 found again, 12 in the queue"), (2, "0 created")] {
        let ran = end_of(command(folder.path(), &arguments).spawn().unwrap()).await;
        assert_eq!(ran.code, Some(0), "round {round}: {ran:#?}");
        assert!(ran.stdout.contains(expected), "round {round}: {}", ran.stdout);
    }
    let text = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let filed = findings.iter().filter(|finding| finding["ticket"].is_object()).count();
    assert_eq!(filed, 12, "{text}");
    assert_eq!(report["scan"]["state"], "complete");
    assert!(
        findings.iter().all(|finding| finding["state"] == "seen"),
        "the second scan sees nothing new"
    );
}
