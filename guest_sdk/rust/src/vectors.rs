//! The encoder against the vectors of the ABI, which were written by hand, and against the standard library.

extern crate std;

use std::string::ToString;
use std::vec::Vec;

use serde_json::Value as Json;

use crate::attributes::Attributes;
use crate::buffer::Buffer;
use crate::callsite::{Place, LOG, SPAN};
use crate::metrics::Histogram;
use crate::{attributes, display, ToValue, Value};

fn vectors() -> Json {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/attributes.json"
    );
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|digit| *digit != b' ').collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap()
}

/// What a vector says. What it borrows lives as long as the test.
fn value(json: &Json) -> Value<'static> {
    let (kind, of) = json.as_object().unwrap().iter().next().unwrap();
    let items = || of.as_array().unwrap().iter();
    match kind.as_str() {
        "empty" => Value::Empty,
        "string" => Value::Str(text(of).to_string().leak()),
        "bool" => Value::Bool(of.as_bool().unwrap()),
        "i64" => Value::I64(text(of).parse().unwrap()),
        "f64" => Value::F64(float(of)),
        "bytes" => Value::Bytes(bytes(text(of)).leak()),
        "array" => Value::array(items().map(value).collect::<Vec<_>>().leak()),
        "map" => {
            let entry = |entry: &Json| (&*text(&entry[0]).to_string().leak(), value(&entry[1]));
            Value::map(items().map(entry).collect::<Vec<_>>().leak())
        }
        other => panic!("no such type: {other}"),
    }
}

fn float(bits: &Json) -> f64 {
    f64::from_bits(u64::from_str_radix(text(bits), 16).unwrap())
}

fn list(attributes: &Json) -> Vec<u8> {
    let mut list = Attributes::new();
    for pair in attributes.as_array().unwrap() {
        match pair[0].get("field") {
            Some(index) => {
                let index = index.as_u64().unwrap() as usize;
                list.put(1, index, "not this", &value(&pair[1]));
            }
            None => list.put(0, 0, text(&pair[0]), &value(&pair[1])),
        }
    }
    list.finish();
    list.buffer.as_bytes().to_vec()
}

fn encoded(value: impl ToValue) -> Vec<u8> {
    let mut buffer = Buffer::new();
    value.to_value().encode(&mut buffer);
    assert!(!buffer.is_full());
    buffer.as_bytes().to_vec()
}

#[test]
fn lists_are_those_of_the_vectors() {
    for vector in vectors()["lists"].as_array().unwrap() {
        assert_eq!(
            list(&vector["attributes"]),
            bytes(text(&vector["hex"])),
            "{}",
            vector["name"]
        );
    }
}

#[test]
fn call_sites_are_those_of_the_vectors() {
    for vector in vectors()["callsites"].as_array().unwrap() {
        let kind = match text(&vector["kind"]) {
            "log" => LOG,
            "span" => SPAN,
            other => panic!("no such kind: {other}"),
        };
        let fields: Vec<&str> = vector["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        let place = Place::new(
            kind,
            vector["severity"].as_u64().unwrap() as u8,
            fields.len(),
            vector["line"].as_u64().unwrap() as u32,
            [
                text(&vector["site"]),
                text(&vector["target"]),
                text(&vector["file"]),
            ],
        );
        let mut buffer = Buffer::new();
        place.encode(&mut buffer);
        buffer.push_texts(&fields);
        buffer.push(&list(&vector["attributes"]));
        assert_eq!(
            buffer.as_bytes(),
            bytes(text(&vector["hex"])),
            "{}",
            vector["name"]
        );
    }
}

#[test]
fn instruments_are_those_of_the_vectors() {
    for vector in vectors()["instruments"].as_array().unwrap() {
        let own = |key: &str| &*text(&vector[key]).to_string().leak();
        let boundaries: Vec<f64> = vector["boundaries"]
            .as_array()
            .unwrap()
            .iter()
            .map(float)
            .collect();
        let instrument: Histogram = Histogram::new(own("instrument"))
            .unit(own("unit"))
            .description(own("description"))
            .boundaries(boundaries.leak());
        let mut buffer = Buffer::new();
        instrument.describe(&mut buffer);
        assert_eq!(
            buffer.as_bytes(),
            bytes(text(&vector["hex"])),
            "{}",
            vector["name"]
        );
    }
}

#[test]
fn integers_beyond_i64_are_their_decimals() {
    for number in [
        i64::MAX as i128 + 1,
        i64::MIN as i128 - 1,
        u64::MAX as i128,
        10i128.pow(38),
        -(10i128.pow(38)) + 1,
        i128::MAX,
        i128::MIN,
    ] {
        assert_eq!(encoded(number), encoded(number.to_string().as_str()));
    }
    assert_eq!(encoded(u128::MAX), encoded(u128::MAX.to_string().as_str()));
    assert_eq!(encoded(u64::MAX), encoded(u64::MAX.to_string().as_str()));
    for number in [i64::MIN, -1, 0, 1, i64::MAX] {
        assert_eq!(encoded(number as i128), encoded(number));
    }
    assert_eq!(encoded(i64::MAX as u64), encoded(i64::MAX));
}

#[test]
fn formatted_values_are_strings() {
    assert_eq!(encoded(format_args!("{} of {}", 1, 2)), encoded("1 of 2"));
    assert_eq!(encoded(display(1.5)), encoded("1.5"));
    assert_eq!(encoded(crate::debug(Some("x"))), encoded("Some(\"x\")"));
    assert_eq!(encoded('ß'), encoded("ß"));
    assert_eq!(encoded(None::<i64>), encoded(Value::Empty));
}

#[test]
fn nested_arrays_are_arrays() {
    let inner = [Value::I64(1), Value::I64(2)];
    let expected = encoded(Value::array(&[Value::array(&inner), Value::array(&[])]));
    let slices: [&[i64]; 2] = [&[1, 2], &[]];
    assert_eq!(encoded(slices), expected);
}

#[test]
fn keys_of_macros_are_names_or_literals() {
    let order = 7;
    let list: &[(&str, Value<'_>)] = attributes![order, http.route = "/x", "a-b" = true,];
    let keys: Vec<&str> = list.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["order", "http.route", "a-b"]);
}

#[test]
fn a_key_that_would_read_as_a_field_is_left_out() {
    let long = "k".repeat(0x8000);
    let mut list = Attributes::new();
    list.encode(&[("a", Value::Bool(true)), (&long, Value::Bool(true))]);
    let mut expected = Attributes::new();
    expected.encode(&[
        ("a", Value::Bool(true)),
        ("otel.dropped_attributes_count", Value::I64(1)),
    ]);
    assert_eq!(list.buffer.as_bytes(), expected.buffer.as_bytes());
}

/// With an allocator long values grow the buffer; without, they are left out, counted, and the rest is kept.
#[test]
fn long_values_are_kept_or_counted() {
    let long = "y".repeat(20_000);
    let mut list = Attributes::new();
    list.encode(&[
        ("before", Value::I64(1)),
        ("long", Value::Str(&long)),
        ("lazy", display(&long).to_value()),
        ("after", Value::I64(2)),
    ]);
    let kept = |text: &str| {
        let needle = text.as_bytes();
        list.buffer
            .as_bytes()
            .windows(needle.len())
            .any(|at| at == needle)
    };
    assert!(kept("before") && kept("after"));
    assert_eq!(kept(&long), cfg!(feature = "alloc"));
    assert_eq!(
        kept("otel.dropped_attributes_count"),
        !cfg!(feature = "alloc")
    );
}

#[test]
fn hexadecimal_digits_are_those_of_format() {
    let ids = crate::SpanContext {
        trace_id: *b"\x00\x01\x7f\x80\xff\xab\xcd\xef\x00\x01\x7f\x80\xff\xab\xcd\xef",
        span_id: *b"\x00\x01\x7f\x80\xff\xab\xcd\xef",
        flags: 1,
        is_remote: false,
    };
    assert_eq!(ids.span_id_hex().as_str(), "00017f80ffabcdef");
    assert_eq!(
        ids.trace_id_hex().to_string(),
        "00017f80ffabcdef00017f80ffabcdef"
    );
}

/// Off WebAssembly nothing happens, and nothing is evaluated.
#[test]
fn without_a_host_nothing_happens() {
    fn unwanted() -> i64 {
        panic!("evaluated");
    }
    crate::init();
    crate::init();
    assert!(!crate::enabled!(crate::Severity::FATAL));
    crate::fatal!("never", value = unwanted());
    let span = crate::span!("never", value = unwanted());
    assert!(!span.is_enabled());
    drop(span.enter());
    assert_eq!(crate::span_context(), None);
    assert!(crate::remote_context(
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ""
    )
    .is_none());
    assert_eq!(crate::baggage_into("tenant", &mut [0; 8]), Ok(None));
    assert_eq!(
        crate::Context::CURRENT.inject_into("traceparent", &mut [0; 8]),
        Ok(None)
    );
}
