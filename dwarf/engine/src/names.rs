//! What functions are called.

use std::cell::RefCell;
use std::fmt::{self, Write};

use gimli::{AttributeValue, UnitOffset, constants};

use crate::base::{Ledger, Map, Problem, Reader};
use crate::tables::Tables;
use crate::units::{File, UnitEntry};

/// How often an entry may refer to another one for its name. Compilers need two steps.
const STEPS: u32 = 16;
/// Longer names are cut, and demangled ones are given up: a name of a few bytes can stand for gigabytes.
const LONGEST_NAME: usize = 16 * 1024;

/// Functions by file and place of their entry in .debug_info.
#[derive(Default)]
pub struct Names(RefCell<Map<(u32, usize), u32>>);

#[derive(Default)]
struct Found {
    name: Option<Reader>,
    linkage: Option<Reader>,
    is_zig: bool,
}

impl Names {
    /// The number of the function that an entry is of, or was inlined from.
    pub fn function(
        &self,
        files: &[File],
        file: u32,
        unit: u32,
        entry: UnitOffset,
        tables: &mut Tables,
        ledger: &Ledger,
    ) -> u32 {
        let key = (file, files[file as usize].units[unit as usize].offset + entry.0);
        if let Some(&known) = self.0.borrow().get(&key) {
            return known;
        }
        let number = number(find(&files[file as usize], unit, entry, ledger), tables, ledger);
        self.0.borrow_mut().insert(key, number);
        number
    }
}

fn number(found: Found, tables: &mut Tables, ledger: &Ledger) -> u32 {
    let cut = |text: Option<Reader>| text.map_or(&[][..], |text| &text.slice()[..text.len().min(LONGEST_NAME)]);
    let (name, linkage) = (cut(found.name), cut(found.linkage));
    ledger.spend(16 + (name.len() + linkage.len()) as u64);
    let demangled = std::str::from_utf8(linkage).ok().and_then(demangle);
    let readable = match &demangled {
        Some(text) => text.as_bytes(),
        // Zig's linkage names are not mangled, and say which namespace a function is in.
        None if name.is_empty() || (found.is_zig && !linkage.is_empty()) => linkage,
        None => name,
    };
    if readable.is_empty() {
        return 0;
    }
    let readable = tables.texts.number(readable);
    let linkage = tables.texts.number(linkage);
    tables.functions.number([readable, linkage])
}

fn find(file: &File, unit: u32, entry: UnitOffset, ledger: &Ledger) -> Found {
    let mut found = Found::default();
    let (mut number, mut offset) = (unit, entry);
    for _ in 0..STEPS {
        let unit = &file.units[number as usize];
        found.is_zig |= is_zig(file, unit);
        let Ok(next) = read(file, unit, offset, &mut found) else {
            ledger.note(Problem::Reference);
            return found;
        };
        // The linkage name is what the most can be said by, so that a plain name does not end the search.
        match next {
            None => return found,
            Some(AttributeValue::UnitRef(next)) => offset = next,
            Some(AttributeValue::DebugInfoRef(next)) => match file.unit_at(next) {
                Some(place) => (number, offset) = place,
                None => break,
            },
            Some(_) => break,
        }
    }
    ledger.note(Problem::Reference);
    found
}

/// Its compiler says that its language is C.
fn is_zig(file: &File, unit: &UnitEntry) -> bool {
    file.text(&unit.unit, unit.producer).is_some_and(|producer| producer.slice().starts_with(b"zig "))
}

/// Read the names that an entry has, and where it refers to.
fn read(
    file: &File,
    unit: &UnitEntry,
    offset: UnitOffset,
    found: &mut Found,
) -> gimli::Result<Option<AttributeValue<Reader>>> {
    let mut entries = unit.unit.entries_raw(Some(offset))?;
    let abbreviation = entries.read_abbreviation()?.ok_or(gimli::Error::NoEntryAtGivenOffset)?;
    let (mut origin, mut declaration) = (None, None);
    for &specification in abbreviation.attributes() {
        let wanted = match specification.name() {
            constants::DW_AT_linkage_name | constants::DW_AT_MIPS_linkage_name => &mut found.linkage,
            constants::DW_AT_name => &mut found.name,
            constants::DW_AT_abstract_origin => {
                origin = Some(entries.read_attribute(specification)?.value());
                continue;
            }
            constants::DW_AT_specification => {
                declaration = Some(entries.read_attribute(specification)?.value());
                continue;
            }
            _ => {
                entries.skip_attributes(&[specification])?;
                continue;
            }
        };
        let value = entries.read_attribute(specification)?.value();
        if wanted.is_none() {
            *wanted = file.text(&unit.unit, Some(value));
        }
    }
    if found.linkage.is_some() && found.name.is_some() { Ok(None) } else { Ok(origin.or(declaration)) }
}

/// The name as its author wrote it; None if it is not mangled in a way that is known.
fn demangle(name: &str) -> Option<String> {
    let mut text = Text(String::new());
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // Without the hash at its end.
        return write!(text, "{rust:#}").ok().map(|()| text.0);
    }
    let bare = name.strip_prefix("__Z").map_or(name, |_| &name[1..]);
    if !bare.starts_with("_Z") {
        return None;
    }
    let symbol = cpp_demangle::Symbol::new(bare).ok()?;
    symbol.structured_demangle(&mut text, &cpp_demangle::DemangleOptions::default()).ok()?;
    Some(text.0)
}

struct Text(String);

impl Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.0.len() + part.len() > LONGEST_NAME {
            return Err(fmt::Error);
        }
        self.0.push_str(part);
        Ok(())
    }
}
