//! The OpenTelemetry SDK for Rust, doing what the guest of benchmarks/pipeline.wat does.
//!
//! It reads lines `OPERATION COUNT` and answers each with a line of JSON: how many were done, how many came out as OTLP
//! bytes, the bytes, and the CPU time that the whole process took (exporters have threads of their own).

use std::io::{self, BufRead};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::{Span, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::logs::tonic::group_logs_by_resource_and_scope;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{self, BatchLogProcessor, LogBatch, LogExporter, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{ManualReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{
    self, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use prost::Message;

// A queue that is full drops: it is emptied before that.
const QUEUE: usize = 8192;
const BURST: u64 = 4096;

static RECORDS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Makes the bytes of export requests, and sends them nowhere.
#[derive(Debug, Default)]
struct Encoder(ResourceAttributesWithSchema);

fn sent(records: usize, request: &impl Message) -> OTelSdkResult {
    RECORDS.fetch_add(records, Relaxed);
    BYTES.fetch_add(request.encode_to_vec().len(), Relaxed);
    Ok(())
}

impl SpanExporter for Encoder {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let records = batch.len();
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.0);
        sent(records, &ExportTraceServiceRequest { resource_spans })
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0 = resource.into();
    }
}

impl LogExporter for Encoder {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let records = batch.iter().count();
        let resource_logs = group_logs_by_resource_and_scope(&batch, &self.0);
        sent(records, &ExportLogsServiceRequest { resource_logs })
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0 = resource.into();
    }
}

fn four() -> Vec<KeyValue> {
    vec![
        KeyValue::new("method", "GET"),
        KeyValue::new("route", "/orders"),
        KeyValue::new("status", 200),
        KeyValue::new("cached", true),
    ]
}

/// The CPU time of the process so far.
fn cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes the one timespec that it is given.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "no clock of the process");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Does something a number of times, and empties the queue now and then.
fn repeat(count: u64, mut once: impl FnMut(), flush: impl Fn() -> OTelSdkResult) {
    for done in 1..=count {
        once();
        if done % BURST == 0 || done == count {
            flush().expect("nothing is lost");
        }
    }
}

fn main() {
    let traces = SdkTracerProvider::builder()
        .with_span_processor(
            BatchSpanProcessor::builder(Encoder::default())
                .with_batch_config(
                    trace::BatchConfigBuilder::default()
                        .with_max_queue_size(QUEUE)
                        .with_scheduled_delay(Duration::from_secs(3600))
                        .build(),
                )
                .build(),
        )
        .build();
    let tracer = traces.tracer("peer");
    let inside = Context::new().with_span(tracer.start("host"));
    // Logs take their trace from the context that is attached.
    let _attached = inside.clone().attach();

    let never = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOff)
        .build();
    let unsampled = never.tracer("peer");
    let nowhere = Context::new();

    let log_provider = SdkLoggerProvider::builder()
        .with_log_processor(
            BatchLogProcessor::builder(Encoder::default())
                .with_batch_config(
                    logs::BatchConfigBuilder::default()
                        .with_max_queue_size(QUEUE)
                        .with_scheduled_delay(Duration::from_secs(3600))
                        .build(),
                )
                .build(),
        )
        .build();
    let logger = log_provider.logger("peer");

    let meters = SdkMeterProvider::builder()
        .with_reader(ManualReader::builder().build())
        .build();
    let meter = meters.meter("peer");
    let counter = meter.u64_counter("requests").build();
    let histogram = meter
        .f64_histogram("duration")
        .with_boundaries(vec![
            0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0,
            7500.0, 10000.0,
        ])
        .build();
    let set = [KeyValue::new("tenant", "acme"), KeyValue::new("retry", 3)];

    let start = |tracer: &trace::SdkTracer, context: &Context| {
        tracer
            .span_builder("GET /orders")
            .with_attributes(four())
            .start_with_context(tracer, context)
            .end();
    };
    let emit = || {
        let mut record = logger.create_log_record();
        record.set_timestamp(SystemTime::now());
        record.set_severity_number(Severity::Info);
        record.set_severity_text("INFO");
        record.set_body(AnyValue::from(
            "order 4711 of customer 42 was put into the queue",
        ));
        record.add_attribute("tenant", "acme");
        record.add_attribute("retry", 3);
        logger.emit(record);
    };
    let nothing = || Ok(());

    for line in io::stdin().lock().lines() {
        let line = line.expect("a line of text");
        let (name, count) = line.split_once(' ').expect("an operation and a count");
        let count = count.parse().expect("a count");
        RECORDS.store(0, Relaxed);
        BYTES.store(0, Relaxed);
        let before = cpu();
        match name {
            "span" => repeat(count, || start(&tracer, &inside), || traces.force_flush()),
            "unsampled" => repeat(count, || start(&unsampled, &nowhere), nothing),
            "log" => repeat(count, emit, || log_provider.force_flush()),
            "counter" => repeat(count, || counter.add(1, &set), nothing),
            "histogram" => repeat(count, || histogram.record(30.0, &set), nothing),
            _ => panic!("there is no operation {name:?}"),
        }
        let taken = cpu() - before;
        println!(
            r#"{{"operation": "{name}", "count": {count}, "records": {}, "bytes": {}, "cpu_ns": {}}}"#,
            RECORDS.load(Relaxed),
            BYTES.load(Relaxed),
            taken.as_nanos()
        );
    }
}
