//! The load tool. Its figures need a release build; these tests check that it measures and what it prints.

use serde_json::Value;

use crate::support::{Process, any_port, client, run};

fn number(report: &Value, path: &str) -> f64 {
    let value = report.pointer(path).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("{path} in {report}"))
}

#[tokio::test]
async fn a_smoke_run_measures_every_phase_and_prints_one_object() {
    let exit = run(&["bench", "--smoke", "--json", "--rate", "50"]).await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    let report: Value = serde_json::from_str(&exit.stdout).unwrap();
    for path in [
        "/acceptsPerSecond",
        "/messagesPerSecond",
        "/deliveredPerSecond",
        "/residentMb",
        "/diskBytesPerMessage",
        "/cpuMsPerMessage",
        "/references/httpRoundTripsPerSecond",
        "/references/fdatasyncsPerSecond",
        "/receiptsPerSecond",
        "/slowProvider/messagesPerSecond",
    ] {
        assert!(number(&report, path) > 0.0, "{path} in {report}");
    }
    for latency in ["/acceptMs", "/acceptToSendMs"] {
        let [p50, p99, p999] = ["p50", "p99", "p999"].map(|name| number(&report, &format!("{latency}/{name}")));
        assert!(0.0 < p50 && p50 <= p99 && p99 <= p999, "{latency} in {report}");
    }
    // 64 concurrent calls of 50 ms cannot exceed this rate on any machine.
    assert!(number(&report, "/slowProvider/messagesPerSecond") <= number(&report, "/slowProvider/possiblePerSecond"));
}

#[tokio::test]
async fn each_scenario_runs_at_a_small_size() {
    for (scenario, path) in [
        ("fairness", "/fairness/atFullSpeedRatioP99"),
        ("million", "/million/resumeToFirstSendMs"),
        ("overload", "/overload/healthzMaxMs"),
        ("tree", "/tree/treeMs/p99"),
    ] {
        let exit = run(&["bench", "--smoke", "--json", "--rate", "50", "--scenario", scenario]).await;
        assert_eq!(exit.code, Some(0), "{exit:?}");
        let report: Value = serde_json::from_str(&exit.stdout).unwrap();
        assert!(number(&report, path) > 0.0, "{path} in {report}");
    }
}

#[tokio::test]
async fn contradictory_arguments_are_refused() {
    let wrong: [&[&str]; 3] = [
        &["bench", "--url", "https://localhost"],
        &["bench", "--scenario", "tree", "--phase", "sends"],
        &["bench", "--faults", "no-such-file.json"],
    ];
    for args in wrong {
        let exit = run(args).await;
        assert_eq!((exit.code, exit.stdout.as_str()), (Some(2), ""), "{args:?}: {exit:?}");
    }
}

#[tokio::test]
async fn a_running_service_is_measured_and_left_unchanged() {
    let whatsapp = any_port().await.local_addr().unwrap().to_string();
    let temp = tempfile::tempdir().unwrap();
    let config = format!(
        "[admin]\nkey = \"an-admin-key-of-the-length-it-takes\"\n[whatsapp]\nbase_url = \"http://{whatsapp}\"\nmessages_per_second = 1000\n"
    );
    std::fs::write(temp.path().join("twotick.toml"), config).unwrap();
    let serve = ["serve", "--config", "twotick.toml", "--data", "data", "--listen", "127.0.0.1:0"];
    let mut service = Process::spawn(temp.path(), &serve, &[]);
    let url = service.listening().await;
    let running = ["--url", &url, "--admin-key", "an-admin-key-of-the-length-it-takes", "--simulator", &whatsapp];
    let bench = ["bench", "--smoke", "--json", "--messages", "40", "--orgs", "2", "--phase", "receipts"];
    let exit = run(&[bench.as_slice(), &running].concat()).await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    let report: Value = serde_json::from_str(&exit.stdout).unwrap();
    assert!(number(&report, "/deliveredPerSecond") > 0.0 && report.get("residentMb").is_none(), "{report}");
    let orgs = client().get(format!("{url}/api/v1/admin/orgs")).bearer_auth("an-admin-key-of-the-length-it-takes");
    let orgs: Value = orgs.send().await.unwrap().json().await.unwrap();
    assert_eq!(orgs["items"], serde_json::json!([]));
}
