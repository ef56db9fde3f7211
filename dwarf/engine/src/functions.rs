//! Which functions a unit describes, and where their code is.

use gimli::{UnitOffset, constants};

use crate::base::{Ledger, NONE, Problem};
use crate::bodies::Bodies;
use crate::ranges::{Attributes, Value};
use crate::units::{File, UnitEntry};

/// The distance from a body's start within which its first instruction lies: before it are the declarations of locals.
const DECLARATIONS: u32 = 64;

/// The entry of a function, with code inside of one body.
#[derive(Clone, Copy)]
pub struct Function {
    pub body: u32,
    pub low: u32,
    pub high: u32,
    pub entry: u32,
}

impl Function {
    /// Whether it is about the whole body: from its start or first instruction to its end.
    pub fn fits(&self, bodies: &Bodies) -> bool {
        fits(self.body, self.low, self.high, bodies)
    }
}

pub fn fits(body: u32, low: u32, high: u32, bodies: &Bodies) -> bool {
    high == bodies.end(body) && low - bodies.start(body) <= DECLARATIONS
}

/// Functions by body, the best for each first.
pub struct Functions(Vec<Function>);

impl Functions {
    pub fn read(file: &File, unit: &UnitEntry, bodies: &Bodies, ledger: &Ledger) -> Self {
        let mut found = Vec::new();
        visit(file, unit, ledger, |entry, attributes| {
            attributes.each(&file.dwarf, &unit.unit, ledger, |low, high| {
                let body = bodies.find_range(low, high);
                if body != NONE {
                    found.push(Function { body, low: low as u32, high: high as u32, entry: entry.0 as u32 });
                }
            });
            true
        });
        // Those that are about the whole body come first, then the longest: of a part of one no more is known.
        found.sort_by_key(|f: &Function| (f.body, !f.fits(bodies), NONE - (f.high - f.low), f.entry));
        Self(found)
    }

    pub fn of_body(&self, body: u32) -> Option<&Function> {
        let at = self.0.partition_point(|function| function.body < body);
        self.0.get(at).filter(|function| function.body == body)
    }
}

/// Tell every function's entry that says where its code is, until told to stop.
pub fn visit(file: &File, unit: &UnitEntry, ledger: &Ledger, mut tell: impl FnMut(UnitOffset, &Attributes) -> bool) {
    let _ = file;
    let result = (|| -> gimli::Result<()> {
        let mut entries = unit.unit.entries_raw(None)?;
        while !entries.is_empty() {
            let offset = entries.next_offset();
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            let specifications = abbreviation.attributes();
            if !ledger.spend(2 + specifications.len() as u64) {
                return Ok(());
            }
            if abbreviation.tag() != constants::DW_TAG_subprogram {
                entries.skip_attributes(specifications)?;
                continue;
            }
            let mut attributes = Attributes::default();
            for &specification in specifications {
                let place = match specification.name() {
                    constants::DW_AT_low_pc => &mut attributes.low,
                    constants::DW_AT_high_pc => &mut attributes.high,
                    constants::DW_AT_ranges => &mut attributes.ranges,
                    _ => {
                        entries.skip_attributes(&[specification])?;
                        continue;
                    }
                };
                *place = Some(Value(entries.read_attribute(specification)?.value()));
            }
            if !attributes.is_empty() && !tell(offset, &attributes) {
                return Ok(());
            }
        }
        Ok(())
    })();
    if result.is_err() {
        ledger.note(Problem::Entries);
    }
}
