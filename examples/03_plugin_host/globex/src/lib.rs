//! Globex's plugin: priced in dollars, and quoted in euros at the rate that the host knows.

use wasmscope::{info, span, Counter};

static QUOTES: Counter = Counter::new("quotes")
    .unit("{quote}")
    .description("Quotes given");

/// ISO 4217 has numbers for currencies, too.
const DOLLAR: i32 = 840;

#[link(wasm_import_module = "shop")]
extern "C" {
    /// How many euros one unit of a currency is.
    fn exchange_rate(currency: i32) -> f64;
}

/// What it costs to send an order, in cents.
#[no_mangle]
pub extern "C" fn quote(order: i64, grams: i32) -> i32 {
    let span = span!("in dollars", order, grams);
    let _entered = span.enter();
    let dollars = 2.0 + f64::from(grams) / 1000.0 * 1.5;
    // SAFETY: it takes and gives a number.
    let rate = unsafe { exchange_rate(DOLLAR) };
    let cents = (dollars * rate * 100.0) as i32;
    info!("converted", dollars, rate, cents);
    QUOTES.add(1);
    cents
}
