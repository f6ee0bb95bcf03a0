//! Lists of messages show the same, by whichever way they are found.

use std::sync::Arc;

use domain::{Dossier, MessageId, OrgNo, Status};
use store::backend::{Backend, Write};
use store::search::{MessageFilter, Numbered};
use store::{MemoryBackend, Store};

use crate::history::History;

const ORG: OrgNo = OrgNo(7);

fn by_cursor(store: &Store, filter: &MessageFilter) -> Vec<MessageId> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = store.messages(ORG, filter, before, 7).unwrap();
        assert!(page.items.len() <= 7);
        found.extend(page.items.into_iter().map(|(message, _)| message.id));
        before = page.next;
        if before.is_none() {
            return found;
        }
    }
}

fn by_number(store: &Store, filter: &MessageFilter) -> (Vec<MessageId>, Vec<u64>) {
    let (mut found, mut totals) = (Vec::new(), Vec::new());
    for page in 0.. {
        let numbered = store.messages_by_page(ORG, filter, page, 7).unwrap();
        let Numbered::Found(items, total) = numbered else { panic!("{numbered:?} of so few") };
        totals.push(total);
        if items.is_empty() {
            return (found, totals);
        }
        found.extend(items.into_iter().map(|(message, _)| message.id));
    }
    unreachable!()
}

#[test]
fn every_filter_finds_what_passes_it_newest_first_with_and_without_the_index_by_status() {
    let mut history = History::new(3);
    for _ in 0..40 {
        history.step();
    }
    let backend = MemoryBackend::new();
    backend.apply(history.content().into_iter().map(|(key, value)| Write::Put(key, value)).collect()).unwrap();
    let store = Store::new(Arc::new(backend.clone()));
    let mut all: Vec<_> = store
        .oldest_messages(ORG, None, 10_000)
        .unwrap()
        .into_iter()
        .map(|(id, state)| (store.message(ORG, id).unwrap().unwrap(), state.phase.status()))
        .collect();
    all.reverse();
    let (to, dossier) = (all[40].0.to.as_str().to_owned(), "3".to_owned());
    let mut statuses = std::collections::BTreeSet::new();
    for is_indexed in [true, false] {
        if !is_indexed {
            let marker = [&b"I"[..], &ORG.0.to_be_bytes()].concat();
            backend.apply(vec![Write::Delete(marker)]).unwrap();
        }
        for status in Status::ALL.map(Some).into_iter().chain([None]) {
            for (to, dossier) in [(None, None), (Some(&to), None), (None, Some(&dossier)), (Some(&to), Some(&dossier))]
            {
                let filter = MessageFilter { dossier: dossier.cloned(), to: to.cloned(), status };
                let wanted: Vec<_> = all
                    .iter()
                    .filter(|(message, found)| {
                        status.is_none_or(|status| status == *found)
                            && to.is_none_or(|to| message.to.as_str() == to)
                            && dossier.is_none_or(|key| message.dossier.as_ref().map(Dossier::key) == Some(key))
                    })
                    .map(|(message, _)| message.id)
                    .collect();
                statuses.extend(status.filter(|_| !wanted.is_empty()));
                assert_eq!(by_cursor(&store, &filter), wanted, "{filter:?}");
                let (found, totals) = by_number(&store, &filter);
                assert_eq!(found, wanted, "{filter:?}");
                assert!(
                    totals.iter().all(|total| *total == u64::try_from(wanted.len()).unwrap()),
                    "{filter:?}: {totals:?}"
                );
            }
        }
    }
    assert!(statuses.contains(&Status::Cancelled) && statuses.contains(&Status::Queued), "{statuses:?}");
}
