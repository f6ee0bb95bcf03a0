//! The queries of all lists: they are parsed and run on a store.

use std::collections::BTreeSet;

use domain::audit::Subject;
use domain::{FieldError, OrgNo, Status};
use proptest::prelude::*;
use store::Store;
use store::search::{AuditFilter, MessageFilter, Numbered};
use twotick::query::{EXPORT_MAX, PAGE_MAX, PAGED_MAX, Query};

use crate::changes::changed;
use crate::records::{records, store};
use crate::{corpus, fuzz};

const CASES: u64 = 10_000;
const ORG: OrgNo = OrgNo(1);
/// Every list with its parameters.
const LISTS: &[(&str, &[&str])] = &[
    ("messages", &["dossierId", "status", "to", "limit", "cursor"]),
    ("numbered", &["dossierId", "status", "to", "page", "size"]),
    ("inbound", &["from", "limit", "cursor"]),
    ("activities", &["dossierId", "limit", "cursor"]),
    ("audit", &["entityId", "action", "limit", "cursor"]),
    ("statements", &["limit", "cursor"]),
    ("consents", &["limit", "cursor"]),
    ("export", &["limit", "cursor"]),
    ("senders", &["sender"]),
    ("tree", &["format", "depth", "org", "limit"]),
    ("nothing", &[]),
];
const WORDS: &[&[u8]] = &[
    b"&",
    b"=",
    b"&limit=",
    b"&cursor=",
    b"&status=READ",
    b"&to=%2B4915112345678",
    b"&dossierId=1",
    b"&page=",
    b"&size=",
    b"&action=SENT",
    b"&entityId=",
    b"0",
    b"1",
    b"-1",
    b"18446744073709551616",
    b"%",
    b"%00",
    b"%ff",
    b"%F0%9F%91%8B",
    b"%26",
    b"+",
    b"\xd9\xa1",
    b"019b76da-c3c9-7000-8000-000002476ce0",
];

/// Parses a query and runs it on the store. Asserts that the results are within the requested bounds.
fn look_up(list: &str, query: &Query, store: &Store) -> Result<(), Vec<FieldError>> {
    match list {
        "messages" => {
            let (filter, page) = query.messages()?;
            assert!((1..=PAGE_MAX).contains(&page.limit));
            let found = store.messages(ORG, &filter, page.cursor, page.limit).unwrap();
            assert!(found.items.len() <= page.limit);
            let ids = found.items.iter().map(|(message, _)| message.id).chain(found.next);
            assert!(ids.clone().all(|id| page.cursor.is_none_or(|before| id < before)), "from an earlier page");
            is_as_asked(&filter, query, found.items.iter().map(|(_, state)| state.phase.status()));
        }
        "numbered" => {
            let (filter, page, size) = query.numbered()?;
            assert!((1..=PAGE_MAX).contains(&size) && page * size <= PAGED_MAX);
            let found = store.messages_by_page(ORG, &filter, page, size).unwrap();
            let Numbered::Found(items, total) = found else { panic!("{found:?} of so few") };
            assert!(items.len() <= size && u64::try_from(items.len()).unwrap() <= total);
            is_as_asked(&filter, query, items.iter().map(|(_, state)| state.phase.status()));
        }
        "inbound" => {
            let (from, page) = query.inbound()?;
            let found = store.inbound_page(ORG, from.as_deref(), page.cursor, page.limit).unwrap();
            assert!(page.limit <= PAGE_MAX && found.items.len() <= page.limit);
        }
        "activities" => {
            let (dossier, page) = query.activities()?;
            assert_eq!(Some(dossier.as_str()), query.get("dossierId"));
            let found = store.activities(ORG, &dossier, page.cursor, page.limit).unwrap();
            assert!(page.limit <= PAGE_MAX && found.items.len() <= page.limit);
        }
        "audit" => {
            let (entity, action, page) = query.audit()?;
            let subject = entity.map(|text| text.parse().map_or(Subject::ApiKey(text), Subject::Message));
            let found = store.audit(ORG, &AuditFilter { subject, action }, page.cursor, page.limit).unwrap();
            assert!(page.limit <= PAGE_MAX && found.items.len() <= page.limit);
            assert!(found.items.iter().all(|(seq, _)| page.cursor.is_none_or(|before| *seq < before)));
        }
        "statements" => {
            let page = query.statements()?;
            let found = store.statements(ORG, "+4915112345678", page.cursor, page.limit).unwrap();
            assert!(page.limit <= PAGE_MAX && found.items.len() <= page.limit);
        }
        "consents" => {
            let page = query.consents()?;
            let found = store.consents(ORG, page.cursor, page.limit).unwrap();
            assert!(page.limit <= PAGE_MAX && found.items.len() <= page.limit);
        }
        "export" => assert!((1..=EXPORT_MAX).contains(&query.export()?.limit)),
        "senders" => assert_eq!(query.senders()?.len(), usize::from(query.get("sender").is_some())),
        "tree" => assert_eq!(query.tree()?.1, query.get("format") == Some("text")),
        "nothing" => query.nothing()?,
        other => panic!("{other} is not a list"),
    }
    Ok(())
}

/// Asserts that the filter matches the parameters and that everything found matches the filter.
fn is_as_asked(filter: &MessageFilter, query: &Query, mut found: impl Iterator<Item = Status>) {
    assert_eq!(filter.status.map(Status::as_str), query.get("status"));
    assert_eq!(filter.dossier.as_deref(), query.get("dossierId"));
    assert_eq!(filter.to.is_some(), query.get("to").is_some());
    assert!(found.all(|status| filter.status.is_none_or(|wanted| wanted == status)));
}

fn first_store() -> Store {
    store(records(&corpus("records").first().unwrap().bytes))
}

#[test]
fn each_corpus_file_is_accepted_or_refused_as_its_name_says() {
    let store = first_store();
    for kept in corpus("queries") {
        let (text, name) = (std::str::from_utf8(&kept.bytes).unwrap(), kept.name.join("."));
        let read = look_up(&kept.name[1], &Query::parse(text), &store);
        match kept.name[0].as_str() {
            "good" => assert_eq!(read, Ok(()), "{name}"),
            "bad" => {
                let errors = read.expect_err(&name);
                assert!(errors.iter().any(|error| error.field == kept.name[2]), "{name}: {errors:?}");
            }
            other => panic!("{other} in {name}"),
        }
    }
}

#[test]
fn every_invalid_parameter_of_a_query_is_named_at_once() {
    let errors = Query::parse("limit=0&stauts=READ&status=x&to=me&cursor=1&dossierId=1&dossierId=2").messages();
    let fields: BTreeSet<_> = errors.unwrap_err().into_iter().map(|error| error.field).collect();
    let all = ["cursor", "dossierId", "limit", "status", "stauts", "to"];
    assert_eq!(fields, all.map(str::to_owned).into());
}

#[test]
fn no_query_causes_a_panic_or_a_store_error_or_is_partly_ignored() {
    let store = first_store();
    let inputs: Vec<_> = corpus("queries").into_iter().map(|kept| kept.bytes).collect();
    fuzz(CASES, &changed(inputs, WORDS), |input| {
        let text = String::from_utf8_lossy(&input.0);
        let query = Query::parse(&text);
        let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).collect();
        for (list, known) in LISTS {
            let errors = match look_up(list, &query, &store) {
                Err(errors) => errors,
                Ok(()) => {
                    let names: BTreeSet<&str> = pairs.iter().map(|(name, _)| &**name).collect();
                    prop_assert_eq!(names.len(), pairs.len(), "{} twice", list);
                    prop_assert!(names.iter().all(|name| known.contains(name)), "{} accepts {:?}", list, names);
                    continue;
                }
            };
            let is_there = |error: &FieldError| {
                (*list, error.field.as_str()) == ("activities", "dossierId")
                    || pairs.iter().any(|(name, _)| *name == error.field)
            };
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.iter().all(is_there), "{} refuses {:?}", list, errors);
        }
        Ok(())
    });
}
