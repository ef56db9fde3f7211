//! The panic hook.

use std::boxed::Box;
use std::string::String;

use crate::abi;
use crate::attributes::Attributes;
use crate::value::Value;

/// Has each panic reported as an exception before the hook that was there is called, and before the guest traps.
pub(crate) fn install() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let message = match payload.downcast_ref::<&str>() {
            Some(message) => message,
            None => payload
                .downcast_ref::<String>()
                .map_or("", |message| message),
        };
        let report = |list: &[u8]| abi::exception(0, "panic", message, "", list);
        match panic.location() {
            None => report(&[]),
            Some(place) => {
                let attributes = [
                    ("code.file.path", Value::Str(place.file())),
                    ("code.line.number", Value::I64(place.line().into())),
                    ("code.column.number", Value::I64(place.column().into())),
                ];
                Attributes::with(&attributes, report);
            }
        }
        previous(panic);
    }));
}
