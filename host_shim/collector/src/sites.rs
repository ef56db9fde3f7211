//! Call sites: what never changes about one place in a guest's program.

/// A call site, in one block with its descriptor and all that was made of it.
#[repr(C)]
pub struct Site {
    pub kind: u32,
    pub severity: u32,
    pub name: u32,
    pub name_len: u32,
    /// Of each field name its address and length.
    pub fields: u32,
    pub field_count: u32,
    pub field_max: u32,
    /// The tag that its attributes are encoded with.
    pub tag: u32,
    pub attributes: crate::guests::Fixed,
}
