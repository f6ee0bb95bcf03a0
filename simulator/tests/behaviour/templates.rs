//! The message templates and their lists.

use serde_json::{Value, json};
use simulator::Settings;

use crate::support::{Answer, Rig, answer};

async fn get(rig: &Rig, url: &str) -> Answer {
    answer(rig.client.get(url).bearer_auth("t")).await.unwrap()
}

async fn put(rig: &Rig, templates: &Value) -> Answer {
    answer(rig.client.put(rig.url("/_sim/templates")).json(&json!({ "templates": templates }))).await.unwrap()
}

fn names(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|template| template["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_new_account_has_one_template() {
    let rig = Rig::new(Settings::default()).await;
    let page = get(&rig, &rig.url("/v25.0/77/message_templates")).await.json();
    assert_eq!(names(&page), ["hello_world"]);
    let hello = &page["data"][0];
    assert_eq!((&hello["status"], &hello["category"]), (&json!("APPROVED"), &json!("UTILITY")));
    assert!(hello["id"].is_string() && hello["components"][0]["text"].is_string() && hello.get("wabaId").is_none());
    assert!(page["paging"]["cursors"]["after"].is_string() && page["paging"].get("next").is_none());
    assert_eq!(rig.get("/v25.0/77/message_templates").await.status, 401);
}

#[tokio::test]
async fn pages_lead_to_the_end_and_back() {
    let rig = Rig::new(Settings::default()).await;
    let all: Vec<_> =
        (0..5).map(|i| json!({"name": format!("t_{i}"), "language": "en", "category": "UTILITY"})).collect();
    assert_eq!(put(&rig, &json!(all)).await.status, 200);
    let mut url = rig.url("/v25.0/77/message_templates?limit=2&fields=name,status");
    let mut pages = Vec::new();
    loop {
        let page = get(&rig, &url).await.json();
        assert!(page["data"][0].get("components").is_none() && page["data"][0]["id"].is_string());
        pages.push(page.clone());
        let Some(next) = page["paging"]["next"].as_str() else { break };
        url = next.to_owned();
    }
    assert_eq!(pages.iter().map(names).collect::<Vec<_>>(), [vec!["t_0", "t_1"], vec!["t_2", "t_3"], vec!["t_4"]]);
    assert!(pages[0]["paging"].get("previous").is_none());
    let back = get(&rig, pages[2]["paging"]["previous"].as_str().unwrap()).await.json();
    assert_eq!(names(&back), ["t_2", "t_3"]);
    let after = pages[2]["paging"]["cursors"]["after"].as_str().unwrap();
    let end = get(&rig, &rig.url(&format!("/v25.0/77/message_templates?after={after}"))).await.json();
    assert_eq!(end, json!({"data": []}));
    assert_eq!(get(&rig, &rig.url("/v25.0/77/message_templates?after=x")).await.code(), 100);
}

#[tokio::test]
async fn a_list_has_the_templates_of_one_account_that_match_the_filters() {
    let rig = Rig::new(Settings::default()).await;
    let templates = json!([
        {"name": "a", "language": "en", "category": "MARKETING", "wabaId": "77", "quality_score": {"score": "GREEN"}},
        {"name": "b", "language": "de", "category": "UTILITY", "status": "PAUSED"},
    ]);
    let set = put(&rig, &templates).await;
    assert_eq!((set.status, &set.json()["templates"][0]["wabaId"]), (200, &json!("77")));
    let list = async |path: &str| get(&rig, &rig.url(path)).await.json();
    let own = list("/v25.0/77/message_templates").await;
    assert_eq!((names(&own), &own["data"][0]["quality_score"]["score"]), (vec!["a", "b"], &json!("GREEN")));
    assert_eq!(names(&list("/v25.0/78/message_templates").await), ["b"]);
    for asked in ["status=PAUSED", "name=b", "language=de", "category=utility"] {
        assert_eq!(names(&list(&format!("/v25.0/77/message_templates?{asked}")).await), ["b"], "{asked}");
    }
    for wrong in [json!([{"name": "a"}]), json!([{"name": "a", "language": "en", "category": "SPAM"}]), json!({})] {
        assert_eq!(put(&rig, &wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(names(&list("/v25.0/77/message_templates").await), ["a", "b"], "an invalid list changes nothing");
}

#[tokio::test]
async fn a_template_has_a_parameter_format_and_can_be_looked_up_by_id() {
    let rig = Rig::new(Settings::default()).await;
    let templates = json!([
        {"name": "a", "language": "en", "category": "MARKETING"},
        {"name": "b", "language": "en", "category": "UTILITY", "parameter_format": "NAMED"},
    ]);
    assert_eq!(put(&rig, &templates).await.status, 200);
    let page = get(&rig, &rig.url("/v25.0/77/message_templates?fields=parameter_format")).await.json();
    let formats: Vec<_> = page["data"].as_array().unwrap().iter().map(|one| one["parameter_format"].clone()).collect();
    assert_eq!(formats, ["POSITIONAL", "NAMED"]);
    let id = page["data"][1]["id"].as_str().unwrap();
    let all = get(&rig, &rig.url(&format!("/v25.0/{id}"))).await.json();
    assert_eq!((&all["name"], &all["status"]), (&json!("b"), &json!("APPROVED")));
    let asked = get(&rig, &rig.url(&format!("/v25.0/{id}?fields=name"))).await.json();
    assert_eq!(asked, json!({"id": id, "name": "b"}));
}
