//! Acme's plugin: a flat price per started kilogram.

use wasmscope::{info, span, Counter};

static QUOTES: Counter = Counter::new("quotes")
    .unit("{quote}")
    .description("Quotes given");

/// What it costs to send an order, in cents.
#[no_mangle]
pub extern "C" fn quote(order: i64, grams: i32) -> i32 {
    let span = span!("flat rate", order, grams);
    let _entered = span.enter();
    let kilograms = (grams + 999) / 1000;
    let cents = 350 * kilograms;
    info!("flat rate", kilograms, cents);
    QUOTES.add(1);
    cents
}
