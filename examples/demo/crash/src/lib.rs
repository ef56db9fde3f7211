//! A guest with a bug: it trusts its caller with an index.

use tracing::{info, info_span, instrument};

/// Discounts in percent, by the customer's tier.
const DISCOUNTS: [i32; 4] = [0, 5, 10, 15];

/// Returns what a basket of 100.00 costs a customer of this tier, in cents. Traps for tiers beyond the table.
#[unsafe(no_mangle)]
pub extern "C" fn apply_discount(tier: i32) -> i32 {
    wasmscope::init();
    discounted(10_000, tier)
}

#[instrument(name = "apply_discount")]
fn discounted(cents: i32, tier: i32) -> i32 {
    info!("looking up the customer's tier");
    let percent = {
        let _span = info_span!("look_up_discount", tier).entered();
        DISCOUNTS[tier as usize]
    };
    info!(percent, "discount applied");
    cents - cents * percent / 100
}
