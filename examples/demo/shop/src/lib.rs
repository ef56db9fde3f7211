//! A shop's checkout. Prices come from the host.

use tracing::{debug, info, info_span, instrument, warn};
use wasmscope::{AttributeSet, Counter, Histogram, Value};

static ORDERS: Counter = Counter::new("shop.orders")
    .unit("{order}")
    .description("Orders by how they were paid");
static PAYMENT: Histogram = Histogram::new("shop.payment.duration")
    .unit("ms")
    .description("How long the payment provider took")
    .boundaries(&[5.0, 10.0, 25.0, 50.0, 100.0]);
static BY_CARD: AttributeSet = AttributeSet::new(&[("payment.method", Value::Str("card"))]);
static BY_INVOICE: AttributeSet = AttributeSet::new(&[("payment.method", Value::Str("invoice"))]);

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    /// The price of an item in cents; negative if it has none.
    fn fetch_price(item: i32) -> i32;
}

/// Sells a customer items 1 to `items` and returns the total in cents.
#[unsafe(no_mangle)]
pub extern "C" fn checkout(customer: i32, items: i32) -> i32 {
    wasmscope::init();
    place_order(customer, items)
}

#[instrument(name = "checkout", fields(otel.kind = "server", order.total = tracing::field::Empty))]
fn place_order(customer: i32, items: i32) -> i32 {
    let total = price_items(items);
    tracing::Span::current().record("order.total", total);
    reserve(items);
    let by_invoice = total > 10_000;
    pay(total, by_invoice);
    ORDERS.add_with(1, if by_invoice { &BY_INVOICE } else { &BY_CARD });
    info!(customer, total, by_invoice, "order placed");
    total
}

#[instrument]
fn price_items(items: i32) -> i32 {
    let mut total = 0;
    for item in 1..=items {
        let _span = info_span!("fetch_price", item, otel.kind = "client").entered();
        // SAFETY: it takes and gives a number.
        let price = unsafe { fetch_price(item) };
        if price < 0 {
            warn!(item, "no price, so it is free");
            continue;
        }
        debug!(price, "priced");
        total += price;
    }
    total
}

#[instrument]
fn reserve(items: i32) {
    let left = 10 - items;
    if left < 7 {
        warn!(left, reorder = left < 3, "stock is low");
    }
}

#[instrument]
fn pay(total: i32, by_invoice: bool) {
    // A guest has no clock by itself: this stands in for what would be measured.
    let duration = f64::from(total % 97) + if by_invoice { 40.5 } else { 3.5 };
    PAYMENT.record_with(duration, if by_invoice { &BY_INVOICE } else { &BY_CARD });
    info!(provider = "acme-pay", duration, "paid");
}
