//! The commands other than `serve`, and their exit codes.

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::{
    APP_SECRET, Exit, Process, Setup, any_port, client, eventually, path, run, run_with, seed, send, text,
};

#[tokio::test]
async fn version_and_help_go_to_standard_output() {
    let version = run(&["--version"]).await;
    assert_eq!(version.code, Some(0));
    assert_eq!(version.stdout.trim(), format!("twotick {}", env!("CARGO_PKG_VERSION")));
    let help = run(&["--help"]).await;
    assert_eq!(help.code, Some(0));
    for command in ["serve", "demo", "simulate", "bench", "check-config"] {
        assert!(help.stdout.contains(command), "{command}");
    }
}

#[tokio::test]
async fn invalid_arguments_exit_with_2() {
    let cases: [&[&str]; 7] = [
        &[],
        &["dance"],
        &["serve", "--nonsense"],
        &["serve", "--listen", "nowhere"],
        &["demo", "--messages", "0"],
        &["simulate", "--latency", "soon"],
        &["serve", "--config", "no-such-file.toml"],
    ];
    for args in cases {
        let exit = run(args).await;
        assert_eq!((exit.code, exit.stdout.as_str()), (Some(2), ""), "{args:?}: {exit:?}");
        assert!(!exit.stderr.is_empty(), "{args:?}");
    }
}

const ORG_A: &str = "[[orgs]]\nid = \"a\"\napi_keys = [\"a-long-enough-key-a\"]\n[[orgs.senders]]\nphone_number_id = \"1\"\n\
    access_token = \"t\"\napp_secret = \"s\"\nverify_token = \"v\"\n";

/// A configuration file, an environment, and what the error must say.
type Wrong<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

/// Runs `check-config` and `serve` with a configuration file and an environment.
async fn both(toml: &str, env: &[(&str, &str)]) -> [Exit; 2] {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("twotick.toml"), toml).unwrap();
    let check = run_with(temp.path(), &["check-config", "--config", "twotick.toml"], env).await;
    let serve = ["serve", "--config", "twotick.toml", "--data", "data", "--listen", "127.0.0.1:0"];
    [check, run_with(temp.path(), &serve, env).await]
}

#[tokio::test]
async fn an_invalid_configuration_exits_with_2_and_names_the_key_and_the_line() {
    let twice = |more: &str| format!("{ORG_A}{more}");
    let (number, id, key) = (
        twice(&ORG_A.replace("\"a\"", "\"b\"").replace("key-a", "key-b")),
        twice(ORG_A),
        twice(&ORG_A.replace("\"a\"", "\"b\"").replace("\"1\"", "\"2\"")),
    );
    let tls = format!("[http]\ntls_cert = \"/no/such.pem\"\ntls_key = \"/no/such.key\"\n{ORG_A}");
    let cases: [Wrong<'_>; 24] = [
        (&tls, &[], &["http.tls_cert /no/such.pem", "/etc/twotick/fullchain.pem"]),
        ("", &[("TWOTICK_HTTP_LISTEN", "127.0.0.1:1")], &["TWOTICK_HTTP_LISTEN is not read", "TWOTICK__HTTP__LISTEN"]),
        ("", &[("TWOTICK_WHATSAPP__BASE_URL", "x")], &["write TWOTICK__WHATSAPP__BASE_URL, with two underscores"]),
        ("", &[("TWOTICK__WHATSAPP__BASE_URL", "http://example.com")], &["in clear", "whatsapp.allow_plaintext"]),
        ("[outbound]\nretry_delay = []\n", &[], &["twotick: outbound.retry_delay: ", "line 2", "known"]),
        ("\n\n[outbound]\nenabled = true\nstale_after = \"soon\"\n", &[], &["outbound.stale_after", "line 5"]),
        ("[whatsapp]\nmax_concurrent = 0\n", &[], &["whatsapp.max_concurrent", "line 2", "at least 1"]),
        ("[http]\nlisten = \n", &[], &["line 2"]),
        ("[outbound]\non_unknown = \"panic\"\n", &[], &["outbound.on_unknown", "line 2"]),
        ("[http]\nmax_body = \"big\"\n", &[], &["http.max_body", "line 2"]),
        ("[outbound]\nretry_delays = [\"0s\", \"5 parsecs\"]\n", &[], &["outbound.retry_delays", "line 2"]),
        ("[whatsapp]\nbase_url = \"nonsense\"\n", &[], &["whatsapp.base_url", "line 2"]),
        ("[whatsapp]\napi_version = \"25\"\n", &[], &["whatsapp.api_version", "line 2"]),
        ("[admin]\nkey = \"env:NO_SUCH_NAME\"\n", &[], &["admin.key", "NO_SUCH_NAME", "line 2"]),
        ("[log]\nlevel = \"loud\"\n", &[], &["log.level", "line 2"]),
        (&number, &[], &["orgs", "phone_number_id 1", "twice"]),
        (&id, &[], &["orgs[1] (a)", "its id", "line 9"]),
        (&key, &[], &["orgs[1] (b)", "api_keys[0]", "twice", "line 9"]),
        ("", &[("TWOTICK__OUTBOUND__MAX_RESIDENT", "many")], &["TWOTICK__OUTBOUND__MAX_RESIDENT"]),
        (
            "",
            &[("TWOTICK__OUTBOUND__MAX_RESIDENT", "0")],
            &["at least 1 (environment variable TWOTICK__OUTBOUND__MAX_RESIDENT)"],
        ),
        ("", &[("TWOTICK__ADMIN__KEY", "short")], &["admin.key", "12", "variable TWOTICK__ADMIN__KEY"]),
        (
            "[whatsapp]\nbase_url = \"http://127.0.0.1:1\"\n",
            &[("TWOTICK__WHATSAPP__BASE_URL", "nonsense")],
            &["whatsapp.base_url", "variable TWOTICK__WHATSAPP__BASE_URL"],
        ),
        ("[whatsapp]\nmax_concurrent = 0\n", &[("TWOTICK__WHATSAPP__PAIR_BURST", "3")], &["max_concurrent", "line 2"]),
        (
            "[[orgs]]\nid = \"acme\"\n[[orgs.senders]]\nphone_number_id = \"1\"\naccess_token = \"env:NO_SUCH_NAME\"\n\
             app_secret = \"s\"\nverify_token = \"v\"\n",
            &[],
            &["orgs", "NO_SUCH_NAME", "line 1"],
        ),
    ];
    for (toml, env, says) in cases {
        for exit in both(toml, env).await {
            assert_eq!((exit.code, exit.stdout.as_str()), (Some(2), ""), "{toml}: {exit:?}");
            assert!(says.iter().all(|part| exit.stderr.contains(part)), "{toml}: {says:?} in {}", exit.stderr);
        }
    }
}

#[tokio::test]
async fn check_config_prints_the_merged_configuration_with_secrets_masked() {
    let temp = tempfile::tempdir().unwrap();
    let toml = "[admin]\nkey = \"hush-admin-hush-admin-hush-admin-hush\"\n[outbound]\nmax_resident = 7\n[[orgs]]\nid = \"acme\"\n\
        api_keys = [\"hush-key\"]\n[[orgs.senders]]\nphone_number_id = \"1\"\naccess_token = \"env:TEST_TOKEN\"\n\
        app_secret = \"hush-secret\"\nverify_token = \"hush-verify\"\n";
    // Without --config, twotick reads this file in its working directory.
    fs::write(temp.path().join("config.toml"), toml).unwrap();
    let env = [("TEST_TOKEN", "hush-token"), ("TWOTICK__OUTBOUND__ENABLED", "false")];
    let exit = run_with(temp.path(), &["check-config"], &env).await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(!exit.stdout.contains("hush") && !exit.stderr.contains("hush"), "{exit:?}");
    let printed: toml::Table = exit.stdout.parse().unwrap();
    assert_eq!(printed["outbound"]["max_resident"].as_integer(), Some(7));
    assert_eq!(printed["outbound"]["enabled"].as_bool(), Some(false));
    assert_eq!(printed["whatsapp"]["api_version"].as_str(), Some("v25.0"));
    assert_eq!(printed["admin"]["key"].as_str(), Some("***"));
    assert_eq!(printed["orgs"][0]["senders"][0]["access_token"].as_str(), Some("env:TEST_TOKEN"));
    assert_eq!(fs::read_dir(temp.path()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count(), 0);
}

#[tokio::test]
async fn the_output_of_check_config_can_be_read_back() {
    let temp = tempfile::tempdir().unwrap();
    let first = run_with(temp.path(), &["check-config"], &[]).await;
    fs::write(temp.path().join("config.toml"), &first.stdout).unwrap();
    let second = run_with(temp.path(), &["check-config"], &[]).await;
    assert_eq!((second.code, second.stdout), (Some(0), first.stdout));
}

#[tokio::test]
async fn the_demo_shows_the_life_of_each_message_and_exits_with_0() {
    let exit = run(&["demo", "--messages", "3", "--exit"]).await;
    assert_eq!((exit.code, exit.stderr.as_str()), (Some(0), ""), "{exit:?}");
    for part in ["QUEUED", "SENT", "DELIVERED", "READ", "message 3", "org demo", "\"READ\":3"] {
        assert!(exit.stdout.contains(part), "{part} in {}", exit.stdout);
    }
    assert!(!exit.stdout.contains("curl"), "it suggests a command for a port that is closed: {}", exit.stdout);
}

#[tokio::test]
async fn the_demo_needs_no_certificates_and_ignores_proxies() {
    let temp = tempfile::tempdir().unwrap();
    let env = [
        ("SSL_CERT_FILE", "/no/such/file"),
        ("SSL_CERT_DIR", "/no/such/folder"),
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("http_proxy", "http://127.0.0.1:9"),
    ];
    let exit = run_with(temp.path(), &["demo", "--messages", "1", "--exit"], &env).await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
}

/// Forwards connections to an address that becomes known later.
async fn relay(to: Arc<Mutex<String>>) -> String {
    let listener = any_port().await;
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let to = to.lock().unwrap().trim_start_matches("http://").to_owned();
            tokio::spawn(async move {
                if let Ok(mut to) = TcpStream::connect(to).await {
                    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                }
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn the_simulate_command_serves_twotick_and_accepts_faults() {
    let temp = tempfile::tempdir().unwrap();
    let twotick = Arc::new(Mutex::new(String::new()));
    let webhook = format!("{}/api/v1/webhooks/whatsapp/inbound", relay(Arc::clone(&twotick)).await);
    let args = [
        "simulate",
        "--listen",
        "127.0.0.1:0",
        "--webhook",
        &webhook,
        "--app-secret",
        APP_SECRET,
        "--latency",
        "1ms",
        "--receipt-delay",
        "1ms",
        "--batch",
        "1",
    ];
    let mut simulator = Process::spawn(temp.path(), &args, &[]);
    let sim = simulator.listening().await;
    let app = Setup::new().set("whatsapp.base_url", sim.as_str()).start().await;
    *twotick.lock().unwrap() = app.base();
    let id = app.acme().accept(&seed("k")).await;
    app.acme().until(&id, "READ").await;

    let client = client();
    let answer = json!({"from": "+1234567890", "text": "thank you"});
    let told = send(client.post(format!("{sim}/_sim/inbound")).json(&answer)).await.ok(202);
    let heard = eventually("the inbound message", async || {
        let inbox = app.acme().get("inbound/messages").await.ok(200);
        if inbox["items"][0].is_null() { Err(inbox) } else { Ok(inbox["items"][0].clone()) }
    })
    .await;
    assert_eq!((&heard["from"], &heard["providerMessageId"]), (&json!("+1234567890"), &told["id"]));
    let ledger = send(client.get(format!("{sim}/_sim/messages"))).await.ok(200);
    assert_eq!((ledger.as_array().unwrap().len(), &ledger[0]["to"]), (1, &json!("+1234567890")));
    assert_eq!(ledger[0]["wamid"], app.acme().message(&id).await["providerMessageId"]);
    let rules = json!({"rules": [{"fault": {"kind": "error", "code": 131026}}]});
    send(client.put(format!("{sim}/_sim/faults")).json(&rules)).await.ok(200);
    let refused = app.acme().accept(&text(1)).await;
    app.acme().until_error(&refused, "FAILED", "131026").await;
    let wrong =
        send(client.put(format!("{sim}/_sim/faults")).json(&json!({"rules": [{"fault": {"kind": "x"}}]}))).await;
    assert_eq!(wrong.status, 400);
    let stats = eventually("all receipts sent", async || {
        let stats = send(client.get(format!("{sim}/_sim/stats"))).await.ok(200);
        if stats["receiptsWaiting"] == 0 { Ok(stats) } else { Err(stats) }
    })
    .await;
    assert_eq!((&stats["requests"], &stats["accepted"]), (&json!(2), &json!(1)));
    assert_eq!(send(client.post(format!("{sim}/_sim/reset"))).await.status, 204);
    assert_eq!(send(client.get(format!("{sim}/_sim/messages"))).await.ok(200), Value::Array(vec![]));
    simulator.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(simulator.exit().await.code, Some(0));
}

#[tokio::test]
async fn an_invalid_faults_file_is_named_with_its_rule() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("faults.json");
    fs::write(&file, r#"{"rules":[{"fault":{"kind":"explode"}}]}"#).unwrap();
    let exit = run(&["simulate", "--listen", "127.0.0.1:0", "--faults", path(&file)]).await;
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(2), ""), "{exit:?}");
    assert!(exit.stderr.contains("rules[0]") && exit.stderr.contains("faults.json"), "{exit:?}");
}
