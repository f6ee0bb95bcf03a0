//! What a webhook costs: its signature, and reading a thousand statuses.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use domain::Timestamp;
use domain::org::Secret;
use domain::receipt::ReceiptKind;
use whatsapp::signature::{sign, verify};
use whatsapp::webhook::{StatusUpdate, compose, parse};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A body with so many statuses, as Meta writes it.
fn body(statuses: usize) -> Vec<u8> {
    let ids: Vec<String> = (0..statuses).map(|n| format!("wamid.HBgLNDkxNTEwMDAwMDAVAgARGBI{n:08}")).collect();
    let update = |id| StatusUpdate {
        phone_number_id: "106540352242922",
        provider_id: id,
        recipient: "4915100000000",
        group: false,
        kind: ReceiptKind::Delivered,
        played: false,
        category: "utility",
        at: NOW,
        opaque: Some("0198c0de0000700080000000000000ff.1"),
        error: None,
    };
    compose(&ids.iter().map(|id| update(id.as_str())).collect::<Vec<_>>())
}

fn webhooks(criterion: &mut Criterion) {
    let secret: Secret = "an-app-secret".parse().unwrap();
    for statuses in [1, 1000] {
        let body = body(statuses);
        let header = sign(&secret, &body);
        let mut group = criterion.benchmark_group(format!("webhook of {statuses}"));
        group.throughput(Throughput::Elements(u64::try_from(statuses).unwrap()));
        group.bench_function("parse", |bencher| bencher.iter(|| parse(black_box(&body), NOW)));
        group.bench_function("verify", |bencher| bencher.iter(|| verify(&secret, black_box(&body), &header)));
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = webhooks
}
criterion_main!(benches);
