//! All debug information of a module: its files, units, and the way from an address to frames.

use std::sync::Arc;

use gimli::{Dwarf, DwarfPackage, EndianSlice, LittleEndian, SectionId, UnitOffset};

use crate::base::{Ledger, Map, Problem, Reader};
use crate::bodies::Bodies;
use crate::functions::{Function, Functions};
use crate::lines::{Lines, Row};
use crate::names::Names;
use crate::scopes::Scopes;
use crate::tables::{Tables, Texts};
use crate::units::File;

/// The sections that are read, by the numbers that the host knows them by (`_engine.py`).
pub const SECTIONS: [SectionId; 16] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugCuIndex,
    SectionId::DebugTuIndex,
    SectionId::DebugTypes,
    // Nothing is read in these, but without them gimli finds no unit in a package.
    SectionId::DebugLoc,
    SectionId::DebugLocLists,
    SectionId::DebugMacinfo,
    SectionId::DebugMacro,
];

/// The sections of a file; those that it does not have are empty.
pub type Sections = [&'static [u8]; SECTIONS.len()];

fn section(sections: &Sections, id: SectionId) -> Reader {
    let found = SECTIONS.iter().position(|&known| known == id).map_or(&[][..], |at| sections[at]);
    EndianSlice::new(found, LittleEndian)
}

pub struct Debug {
    pub bodies: Bodies,
    /// The module's own units are file 0.
    pub files: Vec<File>,
    /// Code that units are about: low, high, unit; by low. And the greatest high up to each.
    ranges: Vec<(u32, u32, u32)>,
    reach: Vec<u32>,
    /// Units that do not say which code they are about.
    unplaced: Vec<u32>,
    tables_of_lines: std::cell::RefCell<Map<usize, Option<Arc<Lines>>>>,
    names: Names,
}

/// Rows and inlined calls of a body, and where they come from.
pub struct Described {
    /// The function, and the file with its entry.
    pub function: Option<(u32, Function)>,
    pub rows: Vec<Row>,
    pub scopes: Scopes,
    /// The unit of the module that all this is of.
    pub unit: Option<u32>,
}

impl Debug {
    pub fn new(sets: &[Sections], bodies: Bodies, ledger: &Ledger) -> Self {
        let main = &sets[0];
        let Ok(dwarf) = Dwarf::load(|id| Ok::<_, ()>(section(main, id))) else { unreachable!() };
        let mut debug = Self {
            bodies,
            files: vec![File::read(dwarf, ledger)],
            ranges: Vec::new(),
            reach: Vec::new(),
            unplaced: Vec::new(),
            tables_of_lines: Default::default(),
            names: Names::default(),
        };
        debug.read_split(&sets[1..], ledger);
        debug.place_units(ledger);
        debug
    }

    /// Find the split parts of units.
    fn read_split(&mut self, sets: &[Sections], ledger: &Ledger) {
        let mut packages = Vec::new();
        let mut parts: Map<u64, (u32, u32)> = Map::default();
        for set in sets {
            if !section(set, SectionId::DebugCuIndex).is_empty() {
                match DwarfPackage::load(|id| Ok::<_, gimli::Error>(section(set, id)), Reader::default()) {
                    Ok(package) => packages.push(package),
                    Err(_) => ledger.note(Problem::Unit),
                }
                continue;
            }
            let Ok(mut dwarf) = Dwarf::load(|id| Ok::<_, ()>(section(set, id))) else { continue };
            dwarf.make_dwo(&self.files[0].dwarf);
            self.add_file(dwarf, &mut parts, ledger);
        }
        for number in 0..self.files[0].units.len() {
            let Some(id) = self.files[0].units[number].unit.dwo_id else { continue };
            for package in &packages {
                if parts.contains_key(&id.0) || !ledger.spend(64) {
                    break;
                }
                match package.find_cu(id, &self.files[0].dwarf) {
                    Ok(Some(dwarf)) => self.add_file(dwarf, &mut parts, ledger),
                    Ok(None) => {}
                    Err(_) => ledger.note(Problem::Unit),
                }
            }
            match parts.get(&id.0) {
                Some(&(file, part)) => {
                    let (main, others) = self.files.split_at_mut(1);
                    others[file as usize - 1].adopt(part as usize, &main[0].units[number].unit);
                    main[0].units[number].split = Some((file, part));
                }
                None => ledger.note(Problem::SplitMissing),
            }
        }
    }

    fn add_file(&mut self, dwarf: Dwarf<Reader>, parts: &mut Map<u64, (u32, u32)>, ledger: &Ledger) {
        let file = File::read(dwarf, ledger);
        let number = self.files.len() as u32;
        for (at, unit) in file.units.iter().enumerate() {
            if let Some(id) = unit.unit.dwo_id {
                parts.entry(id.0).or_insert((number, at as u32));
            }
        }
        self.files.push(file);
    }

    fn place_units(&mut self, ledger: &Ledger) {
        let limit = self.bodies.limit();
        let main = &self.files[0];
        for (number, unit) in main.units.iter().enumerate() {
            let mut says = false;
            unit.attributes.each(&main.dwarf, &unit.unit, ledger, |low, high| {
                // What begins at 0 was left out by an old linker, or is no range at all.
                if low != 0 {
                    says = true;
                    if low < high && low < limit.into() {
                        self.ranges.push((low as u32, high.min(limit.into()) as u32, number as u32));
                    }
                }
            });
            if !says {
                self.unplaced.push(number as u32);
            }
        }
        self.ranges.sort_unstable();
        let mut reach = 0;
        self.reach = self
            .ranges
            .iter()
            .map(|&(_, high, _)| {
                reach = reach.max(high);
                reach
            })
            .collect();
    }

    /// The units that may be about a body.
    fn candidates(&self, body: u32, ledger: &Ledger) -> Vec<u32> {
        let (low, high) = (self.bodies.start(body), self.bodies.end(body));
        let mut found = Vec::new();
        let mut at = self.ranges.partition_point(|range| range.0 < high);
        while at > 0 && self.reach[at - 1] > low && ledger.spend(1) {
            at -= 1;
            let (_, end, unit) = self.ranges[at];
            if end > low && !found.contains(&unit) {
                found.push(unit);
                if found.len() > 64 {
                    break;
                }
            }
        }
        found.reverse();
        found.extend_from_slice(&self.unplaced);
        found
    }

    /// The unit that has the entries of a unit of the module: itself or its split part.
    pub fn full(&self, number: u32) -> (u32, u32) {
        self.files[0].units[number as usize].split.unwrap_or((0, number))
    }

    pub fn functions(&self, file: u32, unit: u32, ledger: &Ledger) -> &Functions {
        let file = &self.files[file as usize];
        let unit = &file.units[unit as usize];
        unit.functions.get_or_init(|| Functions::read(file, unit, &self.bodies, ledger))
    }

    pub fn lines(&self, number: u32, ledger: &Ledger) -> Option<&Arc<Lines>> {
        let main = &self.files[0];
        let unit = &main.units[number as usize];
        unit.lines
            .get_or_init(|| {
                let offset = unit.stmt_list?;
                if let Some(known) = self.tables_of_lines.borrow().get(&offset.0) {
                    return known.clone();
                }
                let read = Lines::read(&main.dwarf, &unit.unit, offset, &self.bodies, ledger).map(Arc::new);
                self.tables_of_lines.borrow_mut().insert(offset.0, read.clone());
                read
            })
            .as_ref()
    }

    /// Gather what is known about a body.
    pub fn describe(&self, body: u32, ledger: &Ledger) -> Described {
        let candidates = self.candidates(body, ledger);
        let mut best: Option<(bool, u32, u32, u32, Function)> = None;
        for &number in &candidates {
            let (file, unit) = self.full(number);
            if let Some(&function) = self.functions(file, unit, ledger).of_body(body) {
                let fits = function.fits(&self.bodies);
                if best.as_ref().is_none_or(|known| fits && !known.0) {
                    best = Some((fits, number, file, unit, function));
                }
                if fits {
                    break;
                }
            }
        }
        let of_function = best.as_ref().map(|found| found.1);
        let lines = of_function
            .into_iter()
            .chain(candidates.iter().copied().filter(|_| of_function.is_none()))
            .find_map(|number| self.lines(number, ledger).filter(|lines| lines.has(body)).map(|lines| (number, lines)));
        let scopes = match &best {
            Some((_, _, file, unit, function)) => Scopes::read(
                &self.files[*file as usize],
                *unit,
                UnitOffset(function.entry as usize),
                body,
                &self.bodies,
                ledger,
            ),
            None => Scopes::none(body, &self.bodies),
        };
        let unit = of_function.or(lines.map(|found| found.0));
        Described {
            function: best.map(|(_, _, file, _, function)| (file, function)),
            rows: lines.map_or(Vec::new(), |(_, lines)| lines.rows(body, &self.bodies, ledger)),
            scopes,
            unit,
        }
    }

    /// The path of a file that the line table of a unit numbers.
    pub fn path(&self, unit: u32, file: u32, texts: &mut Texts) -> u32 {
        let main = &self.files[0];
        let unit = &main.units[unit as usize];
        match unit.lines.get() {
            Some(Some(lines)) => lines.path(file, &main.dwarf, &unit.unit, texts),
            _ => 0,
        }
    }

    pub fn name(&self, file: u32, unit: u32, entry: UnitOffset, tables: &mut Tables, ledger: &Ledger) -> u32 {
        self.names.function(&self.files, file, unit, entry, tables, ledger)
    }
}
