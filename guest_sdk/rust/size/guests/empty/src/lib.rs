//! What the others are compared with.

#[no_mangle]
pub extern "C" fn run(_order: i32) {}
