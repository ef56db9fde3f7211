//! What the others are compared with.

#[unsafe(no_mangle)]
pub extern "C" fn run(_order: i32) {}

/// With `alloc`: a guest that allocates and frees memory anyway.
#[cfg(feature = "alloc")]
#[unsafe(no_mangle)]
pub extern "C" fn allocate(size: usize) -> Option<Box<Vec<u8>>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).ok()?;
    Some(Box::new(bytes))
}

#[cfg(feature = "alloc")]
#[unsafe(no_mangle)]
pub extern "C" fn free(_bytes: Option<Box<Vec<u8>>>) {}
