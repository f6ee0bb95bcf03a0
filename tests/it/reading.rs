//! Lists: their order, pages and filters.

use serde_json::{Value, json};

use crate::support::{Api, Setup, TestApp, phone, text, with};

fn ids(page: &Value, name: &str) -> Vec<String> {
    page[name].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// Follows the cursors from the first page to the last.
async fn walk(api: &Api, path: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("{path}{cursor}")).await.ok(200);
        all.extend(page["items"].as_array().unwrap().clone());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
        assert!(all.len() < 1000, "the cursors do not end");
    }
}

/// Queues 25 messages and returns their ids, oldest first. The dossiers are "0", "1" and "2" in turn; every fifth
/// message goes to recipient 1 and the others to recipient 0.
async fn filled() -> (TestApp, Vec<String>) {
    let app = Setup::new().set("outbound.enabled", false).start().await;
    let mut made = Vec::new();
    for n in 0..25 {
        let body = with(text(usize::from(n % 5 == 0)), &json!({"dossierId": n % 3, "idempotencyKey": n.to_string()}));
        made.push(app.acme().accept(&body).await);
    }
    for n in [0, 1] {
        app.acme().post(&format!("outbound/messages/{}/cancel", made[n]), &json!({})).await.ok(200);
    }
    (app, made)
}

#[tokio::test]
async fn a_list_paged_by_cursor_shows_every_message_once_newest_first() {
    let (app, made) = filled().await;
    let newest_first: Vec<_> = made.iter().rev().cloned().collect();
    for limit in [1, 7, 25, 200] {
        let all = walk(app.acme(), &format!("outbound/messages?limit={limit}")).await;
        assert_eq!(ids(&json!({ "items": all }), "items"), newest_first, "limit {limit}");
    }
    let page = app.acme().get("outbound/messages").await.ok(200);
    assert_eq!(ids(&page, "items"), newest_first);
    assert_eq!(page["nextCursor"], Value::Null);
    assert_eq!(page["items"][0], app.acme().message(&newest_first[0]).await);
    // New messages do not shift the pages of a list that is being read.
    let first = app.acme().get("outbound/messages?limit=5").await.ok(200);
    app.acme().accept(&text(9)).await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = app.acme().get(&format!("outbound/messages?limit=5&cursor={cursor}")).await.ok(200);
    assert_eq!(ids(&second, "items"), newest_first[5..10]);
}

#[tokio::test]
async fn lists_are_filtered_by_dossier_status_and_recipient() {
    let (app, made) = filled().await;
    let wanted = |keep: &dyn Fn(usize) -> bool| -> Vec<String> {
        (0..25).rev().filter(|n| keep(*n)).map(|n| made[n].clone()).collect()
    };
    let one = phone(1).replace('+', "%2B");
    let cases: [(String, Vec<String>); 8] = [
        ("dossierId=1".into(), wanted(&|n| n % 3 == 1)),
        ("dossierId=7".into(), vec![]),
        ("status=CANCELLED".into(), wanted(&|n| n < 2)),
        ("status=QUEUED".into(), wanted(&|n| n >= 2)),
        ("status=READ".into(), vec![]),
        (format!("to={one}"), wanted(&|n| n % 5 == 0)),
        (format!("to={}", phone(1)), wanted(&|n| n % 5 == 0)),
        (format!("to={one}&dossierId=0&status=QUEUED"), wanted(&|n| n % 5 == 0 && n % 3 == 0 && n >= 2)),
    ];
    for (filter, wanted) in cases {
        let all = walk(app.acme(), &format!("outbound/messages?limit=4&{filter}")).await;
        assert_eq!(ids(&json!({ "items": all }), "items"), wanted, "{filter}");
        let page = app.acme().get(&format!("outbound/messages/paginated?size=4&page=1&{filter}")).await.ok(200);
        let second: Vec<_> = wanted.iter().skip(4).take(4).cloned().collect();
        assert_eq!(ids(&page, "content"), second, "{filter}");
        assert_eq!(page["totalElements"], wanted.len(), "{filter}");
    }
}

#[tokio::test]
async fn numbered_pages_add_up_to_their_total() {
    let (app, made) = filled().await;
    let mut seen = Vec::new();
    for n in 0..4 {
        let page = app.acme().get(&format!("outbound/messages/paginated?page={n}&size=10")).await.ok(200);
        assert_eq!((&page["page"], &page["size"]), (&json!(n), &json!(10)));
        assert_eq!((&page["totalElements"], &page["totalPages"]), (&json!(25), &json!(3)));
        seen.extend(ids(&page, "content"));
    }
    assert_eq!(seen, made.iter().rev().cloned().collect::<Vec<_>>());
    let first = app.acme().get("outbound/messages/paginated").await.ok(200);
    assert_eq!((&first["page"], &first["size"], &first["totalPages"]), (&json!(0), &json!(20), &json!(2)));
    assert_eq!(first["content"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn trails_are_paged_by_cursor_newest_first() {
    let (app, made) = filled().await;
    let events = walk(app.acme(), "audit?limit=4").await;
    // The entries are the organisation, its key, 25 messages and two cancellations.
    assert_eq!(events.len(), 29);
    let seqs: Vec<_> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] == pair[1] + 1), "{seqs:?}");
    assert_eq!(walk(app.acme(), "audit?limit=10&action=CREATED").await.len(), 26);
    let of_one = walk(app.acme(), &format!("audit?limit=1&entityId={}", made[0])).await;
    assert_eq!(
        of_one.iter().map(|event| event["action"].as_str().unwrap()).collect::<Vec<_>>(),
        ["UPDATED", "CREATED"]
    );
    let dossier = walk(app.acme(), "activities?limit=2&dossierId=0").await;
    assert_eq!(dossier.len(), 10);
    assert_eq!(dossier[0]["type"], "MESSAGE_CANCELLED");
    assert!(dossier.iter().skip(1).all(|step| step["type"] == "MESSAGE_CREATED"));
}

#[tokio::test]
async fn a_dossier_id_is_found_whether_given_as_text_or_as_number() {
    let app = Setup::new().set("outbound.enabled", false).start().await;
    let number = app.acme().accept(&with(text(1), &json!({"dossierId": 456}))).await;
    let words = app.acme().accept(&with(text(1), &json!({"dossierId": "Fall 7/ü"}))).await;
    assert_eq!(app.acme().message(&number).await["dossierId"], 456);
    let found = app.acme().get("outbound/messages?dossierId=456").await.ok(200);
    assert_eq!(ids(&found, "items"), [number]);
    for spelt in ["Fall%207%2F%C3%BC", "Fall+7/%C3%BC"] {
        let found = app.acme().get(&format!("outbound/messages?dossierId={spelt}")).await.ok(200);
        assert_eq!(ids(&found, "items"), *std::slice::from_ref(&words), "{spelt}");
    }
}
