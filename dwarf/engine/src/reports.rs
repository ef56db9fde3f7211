//! What is asked for besides addresses: functions, rows, units, and whether all this fits the module.

use crate::base::{Ledger, NONE};
use crate::debug::Debug;
use crate::functions::{Fit, visit};
use crate::ranges::{is_tombstone, mask};
use crate::tables::Tables;

/// All functions with code, or that had some: low and high (32-bit halves, low half first), text of the name, of the
/// linkage name, 1 if it was left out by the linker, unit.
pub fn functions(debug: &Debug, tables: &mut Tables, ledger: &Ledger, out: &mut Vec<u32>) {
    for number in 0..debug.files[0].units.len() as u32 {
        let (file_number, unit_number) = debug.full(number);
        let file = &debug.files[file_number as usize];
        let unit = &file.units[unit_number as usize];
        let mask = mask(&unit.unit);
        visit(unit, ledger, |entry, attributes| {
            let function = debug.name(file_number, unit_number, entry, tables, ledger);
            let [name, linkage] = tables.functions.rows[function as usize];
            attributes.each(&file.dwarf, &unit.unit, ledger, |low, high| {
                let is_dead = is_tombstone(low, mask);
                let halves = |value: u64| [value as u32, (value >> 32) as u32];
                let ([a, b], [c, d]) = (halves(low), halves(high));
                out.extend_from_slice(&[a, b, c, d, name, linkage, is_dead.into(), number]);
            });
        });
    }
}

/// The rows of a range of code, and what ends where it does: address, text of the file, line, column, 1 if it ends a sequence, body.
pub fn rows(debug: &Debug, low: u32, high: u32, tables: &mut Tables, ledger: &Ledger, out: &mut Vec<u32>) {
    let mut body = debug.bodies.first_after(low);
    while body < debug.bodies.len() && debug.bodies.start(body) < high {
        let described = debug.describe(body, ledger);
        for row in &described.rows {
            let ends_here = row.is_end && row.address == high;
            if (low..high).contains(&row.address) || ends_here {
                let file = match described.unit {
                    Some(unit) if !row.is_end => debug.path(unit, row.file, &mut tables.texts),
                    _ => 0,
                };
                out.extend_from_slice(&[row.address, file, row.line, row.column, row.is_end.into(), body]);
            }
        }
        body += 1;
    }
}

/// The units: texts of name, folder and producer, language, version, flags (1: stands for a split part, 2: that was
/// given), text of the split part's file, its id (two halves), first and last address (`NONE`: none), bytes of entries,
/// size of addresses.
pub fn units(debug: &Debug, tables: &mut Tables, ledger: &Ledger, out: &mut Vec<u32>) {
    let main = &debug.files[0];
    for (number, unit) in main.units.iter().enumerate() {
        let (file, full) = debug.full(number as u32);
        let file = &debug.files[file as usize];
        let full = &file.units[full as usize];
        let name = unit.unit.name.or(full.unit.name);
        let producer = file.text(&full.unit, full.producer).or_else(|| main.text(&unit.unit, unit.producer));
        let dwo_name = main.text(&unit.unit, unit.dwo_name);
        let mut text = |value: Option<crate::base::Reader>| {
            value.map_or(0, |value| tables.texts.number(&value.slice()[..value.len().min(4096)]))
        };
        let texts = [text(name), text(unit.unit.comp_dir), text(producer)];
        let dwo_name = text(dwo_name);
        let (mut low, mut high) = (NONE, 0);
        unit.attributes.each(&main.dwarf, &unit.unit, ledger, |from, to| {
            if from < to && !is_tombstone(from, mask(&unit.unit)) && from < NONE.into() {
                low = low.min(from as u32);
                high = high.max(to.min((NONE - 1).into()) as u32);
            }
        });
        let is_split = unit.unit.dwo_id.is_some();
        let id = unit.unit.dwo_id.map_or(0, |id| id.0);
        out.extend_from_slice(&texts);
        out.extend_from_slice(&[
            full.language as u32,
            unit.unit.header.version().into(),
            u32::from(is_split) + 2 * u32::from(unit.split.is_some()),
            dwo_name,
            id as u32,
            (id >> 32) as u32,
            low,
            high,
            (full.end - full.offset) as u32,
            unit.unit.header.address_size().into(),
        ]);
    }
}

/// How well the functions fit, over all units: live, matching, dead. Looks no further when it has seen `enough` live ones.
pub fn match_bodies(debug: &Debug, enough: u32, ledger: &Ledger, out: &mut Vec<u32>) {
    let mut sum = Fit::default();
    for number in 0..debug.files[0].units.len() as u32 {
        let (file, unit) = debug.full(number);
        let fit = debug.functions(file, unit, ledger).fit;
        sum.live += fit.live;
        sum.matching += fit.matching;
        sum.dead += fit.dead;
        if sum.live >= enough {
            break;
        }
    }
    out.extend_from_slice(&[sum.live, sum.matching, sum.dead]);
}
