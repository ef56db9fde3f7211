//! Which functions a unit describes, and where their code is.

use gimli::{UnitOffset, constants};

use crate::base::{Ledger, NONE, Problem};
use crate::bodies::Bodies;
use crate::ranges::{Attributes, Value, is_tombstone, mask};
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

fn fits(body: u32, low: u32, high: u32, bodies: &Bodies) -> bool {
    high == bodies.end(body) && low - bodies.start(body) <= DECLARATIONS
}

/// How well functions fit the module: how many have code, as they say; how many of these are about a whole body; how
/// many the linker left out.
#[derive(Clone, Copy, Default)]
pub struct Fit {
    pub live: u32,
    pub matching: u32,
    pub dead: u32,
}

/// The functions of a unit by body, the best for each first.
pub struct Functions {
    all: Vec<Function>,
    pub fit: Fit,
}

impl Functions {
    pub fn read(file: &File, unit: &UnitEntry, bodies: &Bodies, ledger: &Ledger) -> Self {
        let (mut all, mut fit) = (Vec::new(), Fit::default());
        let mask = mask(&unit.unit);
        visit(unit, ledger, |entry, attributes| {
            let (mut first, mut last, mut is_dead) = (u64::MAX, 0, false);
            attributes.each(&file.dwarf, &unit.unit, ledger, |low, high| {
                is_dead |= is_tombstone(low, mask);
                (first, last) = (first.min(low), last.max(high));
                let body = bodies.find_range(low, high);
                if body != NONE {
                    all.push(Function { body, low: low as u32, high: high as u32, entry: entry.0 as u32 });
                }
            });
            if is_dead {
                fit.dead += 1;
            } else if first <= last {
                fit.live += 1;
                let body = bodies.find_range(first, last);
                fit.matching += u32::from(body != NONE && fits(body, first as u32, last as u32, bodies));
            }
        });
        // Those that are about the whole body come first, then the longest: of a part of one no more is known.
        all.sort_by_key(|f: &Function| (f.body, !f.fits(bodies), NONE - (f.high - f.low), f.entry));
        Self { all, fit }
    }

    pub fn of_body(&self, body: u32) -> Option<&Function> {
        let at = self.all.partition_point(|function| function.body < body);
        self.all.get(at).filter(|function| function.body == body)
    }
}

/// Tell every function's entry that says where its code is.
pub fn visit(unit: &UnitEntry, ledger: &Ledger, mut tell: impl FnMut(UnitOffset, &Attributes)) {
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
            if !attributes.is_empty() {
                tell(offset, &attributes);
            }
        }
        Ok(())
    })();
    if result.is_err() {
        ledger.note(Problem::Entries);
    }
}
