//! The inlined calls inside of one function, and which of them a place of its body is in.

use gimli::{AttributeValue, UnitOffset, constants};

use crate::base::{Ledger, NONE, Problem};
use crate::bodies::Bodies;
use crate::ranges::{Attributes, Value};
use crate::units::File;

/// Deeper nesting is not looked at. Real programs have some 30 levels.
const DEEPEST: u32 = 200;

/// The function itself (number 0) or a call in it that was inlined.
pub struct Scope {
    /// The scope that it is in; `NONE` for the function itself.
    pub parent: u32,
    pub depth: u32,
    /// The entry with the name, and the number of its unit.
    pub entry: UnitOffset,
    pub unit: u32,
    /// Where the call is written, in the parent.
    pub file: u32,
    pub line: u32,
    pub column: u32,
}

impl Scope {
    /// A body of which nothing is known.
    const BODY: Self = Self { parent: NONE, depth: 0, entry: UnitOffset(0), unit: 0, file: 0, line: 0, column: 0 };
}

pub struct Scopes {
    pub all: Vec<Scope>,
    /// Where which scope begins: addresses, and the innermost scope from each on.
    pub starts: Vec<u32>,
    pub owners: Vec<u32>,
}

struct Span {
    low: u32,
    high: u32,
    scope: u32,
}

impl Scopes {
    /// Those of a function, given its entry; of a body without one, the body alone.
    pub fn read(file: &File, unit: u32, entry: UnitOffset, body: u32, bodies: &Bodies, ledger: &Ledger) -> Self {
        let mut all = vec![Scope { entry, unit, ..Scope::BODY }];
        let mut spans = Vec::new();
        if read_calls(file, unit, entry, body, bodies, ledger, &mut all, &mut spans).is_err() {
            ledger.note(Problem::Entries);
        }
        Self::new(all, spans, bodies.start(body), bodies.end(body))
    }

    pub fn none(body: u32, bodies: &Bodies) -> Self {
        Self { all: vec![Scope::BODY], starts: vec![bodies.start(body)], owners: vec![0] }
    }

    /// Find the innermost scope of each place. Ranges may overlap in any way: the deepest wins, of equals the last.
    fn new(all: Vec<Scope>, mut spans: Vec<Span>, low: u32, high: u32) -> Self {
        let mut starts = vec![low];
        for span in &spans {
            starts.push(span.low);
            starts.push(span.high);
        }
        starts.sort_unstable();
        starts.dedup();
        starts.retain(|&start| start < high);
        let mut owners = vec![0; starts.len()];
        // Whoever comes first takes what is free: what is taken is jumped over, whatever its size.
        let mut free: Vec<u32> = (0..=starts.len() as u32).collect();
        spans.sort_by_key(|span| (NONE - all[span.scope as usize].depth, NONE - span.scope));
        for span in &spans {
            let mut at = next_free(&mut free, starts.partition_point(|&start| start < span.low) as u32);
            while (at as usize) < starts.len() && starts[at as usize] < span.high {
                owners[at as usize] = span.scope;
                free[at as usize] = at + 1;
                at = next_free(&mut free, at + 1);
            }
        }
        Self { all, starts, owners }
    }
}

fn next_free(free: &mut [u32], at: u32) -> u32 {
    let mut end = at;
    while free[end as usize] != end {
        end = free[end as usize];
    }
    let mut here = at;
    while here != end {
        here = std::mem::replace(&mut free[here as usize], end);
    }
    end
}

#[allow(clippy::too_many_arguments)]
fn read_calls(
    file: &File,
    number: u32,
    entry: UnitOffset,
    body: u32,
    bodies: &Bodies,
    ledger: &Ledger,
    all: &mut Vec<Scope>,
    spans: &mut Vec<Span>,
) -> gimli::Result<()> {
    let unit = &file.units[number as usize];
    let mut entries = unit.unit.entries_raw(Some(entry))?;
    match entries.read_abbreviation()? {
        Some(abbreviation) if abbreviation.has_children() => entries.skip_attributes(abbreviation.attributes())?,
        _ => return Ok(()),
    }
    // Scopes that are open, each with the depth of its children in the tree.
    let mut open = vec![(1, 0u32)];
    // The depth of the children of a function inside of this one: they are none of ours.
    let mut skipped = isize::MAX;
    loop {
        let depth = entries.next_depth();
        if depth <= 0 || entries.is_empty() {
            return Ok(());
        }
        if depth < skipped {
            skipped = isize::MAX;
        }
        while open.last().is_some_and(|&(inside, _)| depth < inside) {
            open.pop();
        }
        let offset = entries.next_offset();
        let Some(abbreviation) = entries.read_abbreviation()? else {
            ledger.spend(1);
            continue;
        };
        let specifications = abbreviation.attributes();
        if !ledger.spend(2 + specifications.len() as u64) {
            return Ok(());
        }
        if skipped != isize::MAX || abbreviation.tag() != constants::DW_TAG_inlined_subroutine {
            if skipped == isize::MAX && abbreviation.tag() == constants::DW_TAG_subprogram && abbreviation.has_children() {
                skipped = depth + 1;
            }
            entries.skip_attributes(specifications)?;
            continue;
        }
        let parent = open.last().map_or(0, |&(_, scope)| scope);
        let mut scope =
            Scope { parent, depth: all[parent as usize].depth + 1, entry: offset, unit: number, ..Scope::BODY };
        let mut attributes = Attributes::default();
        for &specification in specifications {
            let attribute = entries.read_attribute(specification)?;
            let value = attribute.value();
            match attribute.name() {
                constants::DW_AT_low_pc => attributes.low = Some(Value(value)),
                constants::DW_AT_high_pc => attributes.high = Some(Value(value)),
                constants::DW_AT_ranges => attributes.ranges = Some(Value(value)),
                constants::DW_AT_abstract_origin => match value {
                    AttributeValue::UnitRef(origin) => scope.entry = origin,
                    AttributeValue::DebugInfoRef(origin) => match file.unit_at(origin) {
                        Some(place) => (scope.unit, scope.entry) = place,
                        None => ledger.note(Problem::Reference),
                    },
                    _ => ledger.note(Problem::Reference),
                },
                constants::DW_AT_call_file => {
                    scope.file = match value {
                        AttributeValue::FileIndex(index) => small(Some(index)),
                        _ => small(attribute.udata_value()),
                    }
                }
                constants::DW_AT_call_line => scope.line = small(attribute.udata_value()),
                constants::DW_AT_call_column => scope.column = small(attribute.udata_value()),
                _ => {}
            }
        }
        if scope.depth > DEEPEST {
            ledger.note(Problem::Depth);
            continue;
        }
        let scope_number = all.len() as u32;
        attributes.each(&file.dwarf, &unit.unit, ledger, |low, high| {
            if low >= high {
                return;
            }
            if bodies.find_range(low, high) == body {
                spans.push(Span { low: low as u32, high: high as u32, scope: scope_number });
            } else {
                ledger.note(Problem::OutsideBody);
            }
        });
        all.push(scope);
        if abbreviation.has_children() {
            open.push((depth + 1, scope_number));
        }
    }
}

fn small(value: Option<u64>) -> u32 {
    value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0)
}
