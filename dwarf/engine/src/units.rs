//! The units of a module's debug information and of its split parts.

use std::cell::OnceCell;
use std::sync::Arc;

use gimli::{
    Abbreviations, AttributeValue, DebugAddrBase, DebugInfoOffset, DebugLineOffset, DebugLocListsBase,
    DebugRngListsBase, DebugStrOffsetsBase, DwAt, Dwarf, UnitHeader, UnitOffset, UnitType, constants,
};

use crate::base::{Ledger, Map, Problem, Reader};
use crate::functions::Functions;
use crate::lines::Lines;
use crate::ranges::{self, Attributes};

pub type Unit = gimli::Unit<Reader>;

/// What the first entry of a unit says, as far as answers need it.
pub struct UnitEntry {
    /// Where its header begins and the unit ends in .debug_info.
    pub offset: usize,
    pub end: usize,
    pub unit: Unit,
    pub stmt_list: Option<DebugLineOffset>,
    pub producer: Option<AttributeValue<Reader>>,
    pub dwo_name: Option<AttributeValue<Reader>>,
    pub language: u64,
    pub attributes: Attributes,
    /// File and number of the unit that has the entries that this one leaves out.
    pub split: Option<(u32, u32)>,
    pub lines: OnceCell<Option<Arc<Lines>>>,
    pub functions: OnceCell<Functions>,
}

/// .debug_info with the sections that belong to it: number 0 is the module's own, the others are split parts.
pub struct File {
    pub dwarf: Dwarf<Reader>,
    pub units: Vec<UnitEntry>,
}

impl File {
    pub fn read(dwarf: Dwarf<Reader>, ledger: &Ledger) -> Self {
        let mut file = Self { dwarf, units: Vec::new() };
        let mut shared = Map::default();
        let mut headers = file.dwarf.units();
        loop {
            match headers.next() {
                Ok(Some(header)) => {
                    if !ledger.spend(64) {
                        break;
                    }
                    match read_unit(&file.dwarf, header, &mut shared, ledger) {
                        Some(unit) => file.units.push(unit),
                        None => ledger.note(Problem::Unit),
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    ledger.note(Problem::Unit);
                    break;
                }
            }
        }
        file
    }

    /// The unit that holds an offset in .debug_info, and the offset in the unit.
    pub fn unit_at(&self, offset: DebugInfoOffset) -> Option<(u32, UnitOffset)> {
        let number = self.units.partition_point(|unit| unit.offset <= offset.0).checked_sub(1)?;
        let unit = &self.units[number];
        (offset.0 < unit.end).then(|| (number as u32, UnitOffset(offset.0 - unit.offset)))
    }

    /// Give a split unit what only the unit that stands for it in the module knows.
    pub fn adopt(&mut self, number: usize, skeleton: &Unit) {
        let unit = &mut self.units[number].unit;
        unit.copy_relocated_attributes(skeleton);
        if unit.comp_dir.is_none() {
            unit.comp_dir = skeleton.comp_dir;
        }
    }

    pub fn text(&self, unit: &Unit, value: Option<AttributeValue<Reader>>) -> Option<Reader> {
        self.dwarf.attr_string(unit, value?).ok()
    }
}

fn read_unit(
    dwarf: &Dwarf<Reader>,
    header: UnitHeader<Reader>,
    shared: &mut Map<usize, Arc<Abbreviations>>,
    ledger: &Ledger,
) -> Option<UnitEntry> {
    let at = header.debug_abbrev_offset().0;
    let abbreviations = match shared.get(&at) {
        Some(known) => known.clone(),
        None => {
            let read = Arc::new(header.abbreviations(&dwarf.debug_abbrev).ok()?);
            // What they took is not known; a unit has few, or many that it needs.
            if !ledger.spend(1_000) {
                return None;
            }
            shared.insert(at, read.clone());
            read
        }
    };
    let offset = header.offset().as_debug_info_offset()?.0;
    let end = offset + header.length_including_self();
    let encoding = header.encoding();
    if !matches!(encoding.address_size, 4 | 8) {
        return None;
    }
    let dwo_id = match header.type_() {
        UnitType::Skeleton(id) | UnitType::SplitCompilation(id) => Some(id),
        UnitType::Type { .. } | UnitType::SplitType { .. } => return None,
        _ => None,
    };
    let mut unit = Unit {
        abbreviations,
        name: None,
        comp_dir: None,
        low_pc: 0,
        str_offsets_base: DebugStrOffsetsBase::default_for_encoding_and_file(encoding, dwarf.file_type),
        addr_base: DebugAddrBase(0),
        loclists_base: DebugLocListsBase::default_for_encoding_and_file(encoding, dwarf.file_type),
        rnglists_base: DebugRngListsBase::default_for_encoding_and_file(encoding, dwarf.file_type),
        line_program: None,
        dwo_id,
        header,
    };
    let mut wanted: Map<u16, AttributeValue<Reader>> = Map::default();
    {
        let mut entries = unit.header.entries_raw(&unit.abbreviations, None).ok()?;
        let root = entries.read_abbreviation().ok()??;
        for &specification in root.attributes() {
            let attribute = entries.read_attribute(specification).ok()?;
            wanted.entry(attribute.name().0).or_insert(attribute.value());
        }
    }
    let get = |name: DwAt| wanted.get(&name.0).cloned();
    if let Some(AttributeValue::DebugStrOffsetsBase(base)) = get(constants::DW_AT_str_offsets_base) {
        unit.str_offsets_base = base;
    }
    if let Some(AttributeValue::DebugAddrBase(base)) =
        get(constants::DW_AT_addr_base).or_else(|| get(constants::DW_AT_GNU_addr_base))
    {
        unit.addr_base = base;
    }
    if let Some(AttributeValue::DebugRngListsBase(base)) =
        get(constants::DW_AT_rnglists_base).or_else(|| get(constants::DW_AT_GNU_ranges_base))
    {
        unit.rnglists_base = base;
    }
    if let (None, Some(AttributeValue::DwoId(id))) = (unit.dwo_id, get(constants::DW_AT_GNU_dwo_id)) {
        unit.dwo_id = Some(id);
    }
    unit.name = get(constants::DW_AT_name).and_then(|value| dwarf.attr_string(&unit, value).ok());
    unit.comp_dir = get(constants::DW_AT_comp_dir).and_then(|value| dwarf.attr_string(&unit, value).ok());
    let attributes = Attributes {
        low: get(constants::DW_AT_low_pc).map(ranges::Value),
        high: get(constants::DW_AT_high_pc).map(ranges::Value),
        ranges: get(constants::DW_AT_ranges).map(ranges::Value),
    };
    if let Some(low) = &attributes.low {
        unit.low_pc = dwarf.attr_address(&unit, low.0).ok().flatten().unwrap_or(0);
    }
    let language = match get(constants::DW_AT_language) {
        Some(AttributeValue::Language(language)) => language.0.into(),
        _ => 0,
    };
    let stmt_list = match get(constants::DW_AT_stmt_list) {
        Some(AttributeValue::DebugLineRef(offset)) => Some(offset),
        _ => None,
    };
    Some(UnitEntry {
        offset,
        end,
        stmt_list,
        producer: get(constants::DW_AT_producer),
        dwo_name: get(constants::DW_AT_dwo_name).or_else(|| get(constants::DW_AT_GNU_dwo_name)),
        language,
        attributes,
        split: None,
        lines: OnceCell::new(),
        functions: OnceCell::new(),
        unit,
    })
}
