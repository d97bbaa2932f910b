//! What it costs to put records on the wire and to read them back.
//!
//! `cargo bench -p cp-driver --bench codec`
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark fails loudly")]

use bytes::Bytes;
use cp_driver::wire::{Body, Envelope, RecordMessage};
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, ControlPlanePayload, LogPosition, Term};
use cp_store::{LogRecord, RecordBody};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use std::hint::black_box;

/// As long as a handoff.
const ENTRY_BYTES: usize = 200;
const FRAME_RECORDS: u64 = 64;

/// What engines send records in, whatever else they say.
#[derive(Clone, PartialEq, Message)]
struct Append {
    #[prost(message, repeated, tag = "3")]
    records: Vec<RecordMessage>,
}

fn record(index: u64) -> LogRecord {
    let payload = ControlPlanePayload::new(vec![7; ENTRY_BYTES]).expect("short");
    LogRecord {
        position: LogPosition::new(Term(3), ControlPlaneLogIndex(index)),
        body: RecordBody::Entry(ControlPlaneEntry::OwnershipTransition(payload)),
    }
}

fn frame(records: &[LogRecord]) -> Bytes {
    let append = Append { records: records.iter().map(RecordMessage::from).collect() };
    let envelope = Envelope {
        version: Envelope::VERSION,
        applied: 1_000_000,
        digest: Bytes::from_static(&[7; 32]),
        body: Some(Body::Engine(append.encode_to_vec().into())),
    };
    envelope.encode_to_vec().into()
}

fn read(frame: Bytes) -> Vec<LogRecord> {
    let Some(Body::Engine(message)) = Envelope::decode(frame).expect("an envelope").body else {
        unreachable!("it is an engine's");
    };
    let append = Append::decode(message).expect("an append");
    append.records.into_iter().map(|record| record.try_into().expect("a record")).collect()
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(1));
    let one = record(1_000_000);
    group.bench_function("encode a log record", |bencher| {
        bencher.iter(|| RecordMessage::from(black_box(&one)).encode_to_vec());
    });
    let bytes = Bytes::from(RecordMessage::from(&one).encode_to_vec());
    group.bench_function("decode a log record", |bencher| {
        bencher.iter(|| {
            let message = RecordMessage::decode(black_box(&bytes).clone()).expect("a message");
            LogRecord::try_from(message).expect("a record")
        });
    });
    let many: Vec<_> = (1..=FRAME_RECORDS).map(record).collect();
    group.bench_function("encode an append frame of 64 entries", |bencher| {
        bencher.iter(|| frame(black_box(&many)));
    });
    let bytes = frame(&many);
    assert_eq!(read(bytes.clone()), many);
    group.bench_function("decode an append frame of 64 entries", |bencher| {
        bencher.iter(|| read(black_box(&bytes).clone()));
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
