//! The actor tree that operators can read.

use serde_json::{Value, json};

use crate::support::{PHONE, Setup, TestApp, text};

fn child<'a>(node: &'a Value, path: &str) -> &'a Value {
    let children = node["children"].as_array().unwrap();
    children.iter().find(|child| child["path"] == path).unwrap_or_else(|| panic!("no {path} in {node:#}"))
}

fn every_node(node: &Value, visit: &mut dyn FnMut(&Value)) {
    visit(node);
    for child in node["children"].as_array().unwrap() {
        every_node(child, visit);
    }
}

#[tokio::test]
async fn the_tree_names_every_actor_by_its_path() {
    let app = TestApp::start().await;
    app.org("beta", "2066").await;
    app.one_more().await;
    let answer = app.admin().get("admin/actors").await.ok(200);
    assert!(answer["generatedAt"].as_str().unwrap().ends_with('Z'));
    let root = &answer["root"];
    assert_eq!((&root["path"], &root["kind"]), (&json!("/root"), &json!("root")));
    let acme = child(root, "/root/org:acme");
    assert_eq!((&acme["kind"], &acme["id"], &acme["status"]), (&json!("org"), &json!("acme"), &json!("RUNNING")));
    let provider = child(acme, &format!("/root/org:acme/provider:{PHONE}"));
    assert_eq!((&provider["kind"], &provider["id"]), (&json!("provider"), &json!(PHONE)));
    child(root, "/root/org:beta");
    every_node(root, &mut |node| {
        for name in ["path", "kind", "id", "status", "startedAt"] {
            assert!(node[name].is_string(), "{name} in {node}");
        }
        for name in ["restarts", "mailbox", "childrenOmitted"] {
            assert!(node[name].is_u64(), "{name} in {node}");
        }
        for name in ["lastExit", "oldestMailMs", "doing"] {
            assert!(node.get(name).is_some(), "{name} in {node}");
        }
        assert!(node["counters"].is_object());
    });
}

#[tokio::test]
async fn the_tree_can_be_narrowed_by_depth_organisation_and_limit() {
    let app = TestApp::start().await;
    app.org("beta", "2066").await;
    let root = app.admin().get("admin/actors?depth=0").await.ok(200)["root"].clone();
    assert_eq!(root["children"], json!([]));
    assert!(root["childrenOmitted"].as_u64().unwrap() >= 2, "{root}");
    let root = app.admin().get("admin/actors?org=beta").await.ok(200)["root"].clone();
    let orgs: Vec<_> = root["children"].as_array().unwrap().iter().filter(|node| node["kind"] == "org").collect();
    assert_eq!((orgs.len(), &orgs[0]["id"]), (1, &json!("beta")));
    let root = app.admin().get("admin/actors?limit=1").await.ok(200)["root"].clone();
    assert_eq!(root["children"].as_array().unwrap().len(), 1);
    assert!(root["childrenOmitted"].as_u64().unwrap() >= 1);
}

#[tokio::test]
async fn active_messages_are_in_the_tree() {
    let app = Setup::new().set("outbound.retry_delays", vec!["0s", "1m"]).start().await;
    app.sim.set_faults(crate::support::faults(&json!([{"fault": {"kind": "error", "code": 131016}}])));
    let id = app.acme().accept(&text(1)).await;
    app.acme().until_error(&id, "QUEUED", "131016").await;
    let root = app.admin().get("admin/actors?org=acme").await.ok(200)["root"].clone();
    let node = child(child(&root, "/root/org:acme"), &format!("/root/org:acme/message:{id}"));
    assert_eq!((&node["kind"], &node["id"]), (&json!("message"), &json!(id)));
}

#[tokio::test]
async fn the_tree_is_also_available_as_text() {
    let app = TestApp::start().await;
    app.one_more().await;
    let answer = app.admin().get("admin/actors?format=text").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/plain"));
    let lines: Vec<_> = answer.text.lines().collect();
    assert!(lines[0].starts_with("root"), "{answer:?}");
    assert!(lines.iter().any(|line| line.starts_with("└─ ") || line.starts_with("├─ ")));
    assert!(answer.text.contains("org acme") && answer.text.contains(&format!("provider {PHONE}")), "{}", answer.text);
}
