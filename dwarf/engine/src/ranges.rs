//! Which code an entry is about, and whether there is such code at all.

use gimli::{AttributeValue, Dwarf};

use crate::base::{Ledger, Problem, Reader};
use crate::units::Unit;

#[derive(Clone, Copy)]
pub struct Value(pub AttributeValue<Reader>);

/// The attributes of an entry that say which code it is about.
#[derive(Clone, Copy, Default)]
pub struct Attributes {
    pub low: Option<Value>,
    pub high: Option<Value>,
    pub ranges: Option<Value>,
}

impl Attributes {
    pub fn is_empty(&self) -> bool {
        self.low.is_none() && self.ranges.is_none()
    }

    /// Tell each range, tombstones and all; a list is told only as far as it can be read.
    pub fn each(&self, dwarf: &Dwarf<Reader>, unit: &Unit, ledger: &Ledger, mut tell: impl FnMut(u64, u64)) {
        let mask = mask(unit);
        if let Some(Value(value)) = self.ranges {
            let Ok(Some(mut list)) = dwarf.attr_ranges(unit, value) else {
                ledger.note(Problem::Ranges);
                return;
            };
            loop {
                match list.next() {
                    Ok(Some(range)) => {
                        if !ledger.spend(4) {
                            return;
                        }
                        tell(range.begin & mask, range.end & mask);
                    }
                    Ok(None) => return,
                    Err(_) => {
                        ledger.note(Problem::Ranges);
                        return;
                    }
                }
            }
        }
        if let Some(Value(low)) = self.low {
            let Ok(Some(low)) = dwarf.attr_address(unit, low) else {
                ledger.note(Problem::Ranges);
                return;
            };
            let high = match self.high {
                Some(Value(high)) => match dwarf.attr_address(unit, high) {
                    Ok(Some(high)) => high,
                    _ => low.wrapping_add(high.udata_value().unwrap_or(0)),
                },
                None => low,
            };
            // Not masked: a tombstone plus a size lies behind all code, and has to stay there.
            let low = low & mask;
            tell(low, if high & mask < low { low } else { high & mask });
        }
    }
}

/// The bits that an address of a unit has.
pub fn mask(unit: &Unit) -> u64 {
    if unit.header.address_size() == 8 { u64::MAX } else { u32::MAX.into() }
}

/// Whether linkers put this in place of the address of code that they left out: -1 or -2, once 0.
///
/// 0 is no place of code: a code section begins with the number of its bodies.
pub fn is_tombstone(address: u64, mask: u64) -> bool {
    address == 0 || address >= mask - 1
}
