//! The logger for the `log` crate.

use ::log::{Level, Log, Metadata, Record};

use crate::abi;
use crate::attributes::Attributes;
use crate::callsite::{self, Place};
use crate::shared::{Site, Sites};
use crate::value::ToText;
use crate::Severity;

pub(crate) fn install() {
    static HOST: Host = Host;
    // An error means that the program has a logger of its own.
    if ::log::set_logger(&HOST).is_ok() {
        ::log::set_max_level(::log::LevelFilter::Trace);
    }
}

struct Host;

/// By a hash of all that makes a call site, because nothing in a record is known to live on.
static SITES: Sites = Sites::new();

fn severity(level: Level) -> Severity {
    match level {
        Level::Error => Severity::ERROR,
        Level::Warn => Severity::WARN,
        Level::Info => Severity::INFO,
        Level::Debug => Severity::DEBUG,
        Level::Trace => Severity::TRACE,
    }
}

fn site(metadata: &Metadata<'_>, file: &str, line: u32) -> Site {
    let severity = severity(metadata.level()).number();
    let target = metadata.target();
    // FNV-1a, 64 bits: of 4,096 call sites two are the same with a probability of 5e-13.
    let mut hash = 0xCBF2_9CE4_8422_2325u64 ^ ((u64::from(line) << 8) | u64::from(severity));
    for text in [target, file] {
        for byte in text.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        hash = hash.rotate_left(1);
    }
    SITES.get(hash, |buffer| {
        Place::new(callsite::LOG, severity, 0, line, ["", target, file]).encode(buffer);
        false
    })
}

impl Log for Host {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        site(metadata, "", 0).is_enabled()
    }

    fn log(&self, record: &Record<'_>) {
        let metadata = record.metadata();
        let file = record.file().unwrap_or_default();
        let site = site(metadata, file, record.line().unwrap_or_default());
        if !site.is_enabled() {
            return;
        }
        let severity = match site.id {
            0 => severity(metadata.level()).number(),
            _ => 0, // that of the call site
        };
        #[allow(unused_mut)]
        let mut list = Attributes::new();
        #[cfg(feature = "log-kv")]
        kv::encode(record, &mut list);
        record
            .args()
            .with_bytes(|body| abi::log(site.id, severity, 0, body, list.buffer.as_bytes()));
    }

    fn flush(&self) {
        abi::flush();
    }
}

#[cfg(feature = "log-kv")]
mod kv {
    use ::log::kv::{Error, Key, Value as Field, VisitSource, VisitValue};
    use ::log::Record;

    use crate::attributes::Attributes;
    use crate::buffer::Buffer;
    use crate::value::{display, ToValue, Value};

    /// Appends the fields of a record.
    pub(super) fn encode(record: &Record<'_>, list: &mut Attributes) {
        // The visitor gives no error, and a source that does has given what it could.
        let _ = record.key_values().visit(&mut Fields(list));
        list.finish();
    }

    struct Fields<'a>(&'a mut Attributes);

    impl<'k> VisitSource<'k> for Fields<'_> {
        fn visit_pair(&mut self, key: Key<'k>, value: Field<'k>) -> Result<(), Error> {
            let mark = self.0.key(0, 0, key.as_str());
            let _ = value.visit(One(&mut self.0.buffer));
            self.0.close(mark);
            Ok(())
        }
    }

    struct One<'a>(&'a mut Buffer);

    impl One<'_> {
        fn put(&mut self, value: Value<'_>) -> Result<(), Error> {
            value.encode(self.0);
            Ok(())
        }
    }

    impl VisitValue<'_> for One<'_> {
        fn visit_any(&mut self, value: Field<'_>) -> Result<(), Error> {
            self.put(display(value).to_value())
        }

        fn visit_null(&mut self) -> Result<(), Error> {
            self.put(Value::Empty)
        }

        fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
            self.put(value.to_value())
        }

        fn visit_i64(&mut self, value: i64) -> Result<(), Error> {
            self.put(Value::I64(value))
        }

        fn visit_u128(&mut self, value: u128) -> Result<(), Error> {
            self.put(value.to_value())
        }

        fn visit_i128(&mut self, value: i128) -> Result<(), Error> {
            self.put(value.to_value())
        }

        fn visit_f64(&mut self, value: f64) -> Result<(), Error> {
            self.put(Value::F64(value))
        }

        fn visit_bool(&mut self, value: bool) -> Result<(), Error> {
            self.put(Value::Bool(value))
        }

        fn visit_str(&mut self, value: &str) -> Result<(), Error> {
            self.put(Value::Str(value))
        }
    }
}
