//! Line tables: the rows of one body at a time.
//!
//! A table is run once to find which of its runs of rows are about which body, and a run again when its body is asked
//! for. So rows are kept only of what was asked for, and the rows of one body never speak for another.

use std::cell::RefCell;

use gimli::{DebugLineOffset, Dwarf, LineProgramHeader};

use crate::base::{Ledger, Map, NONE, Problem, Reader};
use crate::bodies::Bodies;
use crate::ranges::is_tombstone;
use crate::tables::Texts;
use crate::units::Unit;

/// From an address on, up to the next row's.
#[derive(Clone, Copy)]
pub struct Row {
    pub address: u32,
    pub file: u32,
    pub line: u32,
    pub column: u32,
    /// Nothing is said from here on.
    pub is_end: bool,
}

/// The state of a line table's machine.
#[derive(Clone, Copy)]
struct State {
    address: u64,
    file: u32,
    line: u32,
    column: u32,
}

/// Rows of one sequence that follow each other inside of one body.
struct Run {
    body: u32,
    /// Where the program goes on, and the state there: the next row is the run's first.
    at: u32,
    state: State,
}

pub struct Lines {
    header: LineProgramHeader<Reader>,
    program: &'static [u8],
    lengths: &'static [u8],
    mask: u64,
    /// The first special operation, what each adds to address and line, and what one step of the address is.
    base: u8,
    specials: Box<[(u16, i16); 256]>,
    unit_bytes: u64,
    runs: Vec<Run>,
    /// Texts of files, by number in the table.
    paths: RefCell<Map<u32, u32>>,
}

/// What each special operation adds to address and line. (255 stands for "add to the address what 255 would", too.)
fn specials(header: &LineProgramHeader<Reader>) -> Box<[(u16, i16); 256]> {
    let mut made = Box::new([(0, 0); 256]);
    let (base, range) = (header.opcode_base(), header.line_range().max(1));
    for (opcode, special) in made.iter_mut().enumerate().skip(base.into()) {
        let adjusted = opcode as u8 - base;
        let bytes = u16::from(adjusted / range) * u16::from(header.minimum_instruction_length());
        *special = (bytes, i16::from(header.line_base()) + i16::from(adjusted % range));
    }
    made
}

enum Step {
    Row,
    End,
    Stop,
}

impl Lines {
    pub fn read(
        dwarf: &Dwarf<Reader>,
        unit: &Unit,
        offset: DebugLineOffset,
        bodies: &Bodies,
        ledger: &Ledger,
    ) -> Option<Self> {
        let size = unit.header.address_size();
        let Ok(program) = dwarf.debug_line.program(offset, size, unit.comp_dir, unit.name) else {
            ledger.note(Problem::Lines);
            return None;
        };
        let header = program.header().clone();
        let size = header.address_size();
        let mut lines = Self {
            program: header.raw_program_buf().slice(),
            lengths: header.standard_opcode_lengths().slice(),
            base: header.opcode_base(),
            specials: specials(&header),
            unit_bytes: header.minimum_instruction_length().into(),
            mask: if size == 8 { u64::MAX } else { u32::MAX.into() },
            runs: Vec::new(),
            paths: RefCell::default(),
            header,
        };
        lines.runs = lines.find_runs(bodies, ledger);
        Some(lines)
    }

    fn start(&self) -> State {
        State { address: 0, file: 1, line: 1, column: 0 }
    }

    fn find_runs(&self, bodies: &Bodies, ledger: &Ledger) -> Vec<Run> {
        let mut runs = Vec::new();
        if !ledger.spend(self.program.len() as u64 / 2) {
            return runs;
        }
        let mut machine = Machine::new(self, 0, self.start());
        let (mut low, mut high) = (0, 0);
        // Where the row at hand began, which is behind the last row.
        let mut before = (0, machine.state);
        loop {
            match machine.step() {
                Step::Stop => break,
                step => {
                    let address = machine.state.address;
                    if !machine.is_dead && matches!(step, Step::Row) && !(low..high).contains(&address) {
                        let body = if address < bodies.limit().into() { bodies.find(address as u32) } else { NONE };
                        if body == NONE {
                            (low, high) = (0, 0);
                        } else {
                            (low, high) = (bodies.start(body).into(), bodies.end(body).into());
                            runs.push(Run { body, at: before.0, state: before.1 });
                        }
                    }
                    if matches!(step, Step::End) {
                        machine.state = self.start();
                        machine.is_dead = false;
                        (low, high) = (0, 0);
                    }
                }
            }
            before = (machine.at as u32, machine.state);
        }
        if machine.is_broken {
            ledger.note(Problem::Lines);
        }
        runs.sort_by_key(|run| run.body);
        runs
    }

    /// Whether it has rows of a body.
    pub fn has(&self, body: u32) -> bool {
        let at = self.runs.partition_point(|run| run.body < body);
        self.runs.get(at).is_some_and(|run| run.body == body)
    }

    /// The rows of a body by address; of those with the same address the last counts.
    pub fn rows(&self, body: u32, bodies: &Bodies, ledger: &Ledger) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        let (low, high) = (u64::from(bodies.start(body)), u64::from(bodies.end(body)));
        let first = self.runs.partition_point(|run| run.body < body);
        for run in self.runs[first..].iter().take_while(|run| run.body == body) {
            let mut machine = Machine::new(self, run.at as usize, run.state);
            let mut last = low as u32;
            loop {
                let is_row = match machine.step() {
                        Step::Row => true,
                    Step::End | Step::Stop => false,
                };
                let State { address, file, line, column } = machine.state;
                if !ledger.spend(2) {
                    return rows;
                }
                let is_inside = (low..=high).contains(&address) && !machine.is_dead;
                if is_row && is_inside && address < high {
                    last = address as u32;
                    rows.push(Row { address: last, file, line, column, is_end: false });
                    continue;
                }
                // The last row goes on to the sequence's end, or, if another body is next, to the end of this one.
                if !is_row && is_inside && address as u32 >= last {
                    rows.push(Row { address: address as u32, file: 0, line: 0, column: 0, is_end: true });
                }
                break;
            }
        }
        let is_ordered = rows.windows(2).all(|pair| (pair[0].address, !pair[0].is_end) <= (pair[1].address, !pair[1].is_end));
        if !is_ordered {
            // An end does not end what begins at the same address.
            rows.sort_by_key(|row| (row.address, !row.is_end));
        }
        rows
    }

    /// The path of a file as a text: joined with its folder and the folder of the compilation.
    pub fn path(&self, file: u32, dwarf: &Dwarf<Reader>, unit: &Unit, texts: &mut Texts) -> u32 {
        if let Some(&known) = self.paths.borrow().get(&file) {
            return known;
        }
        let mut path = Vec::new();
        if let Some(entry) = self.header.file(file.into()) {
            if let Some(folder) = unit.comp_dir {
                join(&mut path, &folder);
            }
            // Number 0 is the folder of the compilation, which version 5 lists, and others do not.
            let is_listed = entry.directory_index() != 0 || self.header.version() >= 5;
            if let (true, Some(folder)) = (is_listed, entry.directory(&self.header)) {
                if let Ok(folder) = dwarf.attr_string(unit, folder) {
                    join(&mut path, &folder);
                }
            }
            match dwarf.attr_string(unit, entry.path_name()) {
                Ok(name) => join(&mut path, &name),
                Err(_) => path.clear(),
            }
        }
        let text = texts.number(&path);
        self.paths.borrow_mut().insert(file, text);
        text
    }
}

/// Longer ones are cut: no file system has them.
const LONGEST_PATH: usize = 8192;

/// Append a path, or put it in place of what is there if it is absolute.
fn join(path: &mut Vec<u8>, next: &[u8]) {
    let next = &next[..next.len().min(LONGEST_PATH)];
    let has_drive = next.len() > 2 && next[1] == b':' && matches!(next[2], b'\\' | b'/');
    if has_drive || next.first().is_some_and(|&byte| byte == b'/' || byte == b'\\') {
        path.clear();
    } else if !path.is_empty() && !next.is_empty() && !matches!(path.last(), Some(b'/' | b'\\')) {
        let is_windows = path.get(1) == Some(&b':') && path.contains(&b'\\') || path.starts_with(b"\\");
        path.push(if is_windows { b'\\' } else { b'/' });
    }
    path.extend_from_slice(next);
}

/// Runs a line table's program. https://dwarfstd.org/doc/DWARF5.pdf 6.2.5
struct Machine<'a> {
    lines: &'a Lines,
    at: usize,
    state: State,
    is_broken: bool,
    /// Whether the sequence began at a tombstone: behind it, all addresses are made up.
    is_dead: bool,
}

impl<'a> Machine<'a> {
    fn new(lines: &'a Lines, at: usize, state: State) -> Self {
        Self { lines, at, state, is_broken: false, is_dead: false }
    }

    #[inline(always)]
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.lines.program.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    #[inline(always)]
    fn unsigned(&mut self) -> Option<u64> {
        let first = self.byte()?;
        if first < 0x80 { Some(first.into()) } else { self.long(first) }
    }

    #[inline(never)]
    fn long(&mut self, first: u8) -> Option<u64> {
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.byte()?;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            shift += 7;
            if byte < 0x80 {
                return Some(value);
            }
        }
    }

    #[inline(always)]
    fn signed(&mut self) -> Option<i64> {
        let start = self.at;
        let value = self.unsigned()?;
        let bits = 7 * (self.at - start) as u32;
        // The last byte's second bit is the sign.
        Some(if bits < 64 { ((value << (64 - bits)) as i64) >> (64 - bits) } else { value as i64 })
    }

    #[inline(always)]
    fn advance(&mut self, bytes: u64) {
        self.state.address = self.state.address.wrapping_add(bytes) & self.lines.mask;
    }

    /// Run up to the next row, a sequence's end or the end of the program.
    #[inline(always)]
    fn step(&mut self) -> Step {
        self.execute().unwrap_or_else(|| {
            self.is_broken = self.at < self.lines.program.len() || self.is_broken;
            self.at = self.lines.program.len();
            Step::Stop
        })
    }

    #[inline(always)]
    fn execute(&mut self) -> Option<Step> {
        loop {
            if self.at >= self.lines.program.len() {
                return Some(Step::Stop);
            }
            let opcode = self.byte()?;
            if opcode >= self.lines.base {
                let (bytes, lines) = self.lines.specials[usize::from(opcode)];
                self.state.line = self.state.line.wrapping_add_signed(lines.into());
                self.advance(bytes.into());
                return Some(Step::Row);
            }
            match opcode {
                0 => {
                    if self.extended()? {
                        return Some(Step::End);
                    }
                }
                1 => return Some(Step::Row),
                2 => {
                    let operations = self.unsigned()?;
                    self.advance(operations.wrapping_mul(self.lines.unit_bytes));
                }
                3 => {
                    let by = self.signed()?;
                    self.state.line = self.state.line.wrapping_add(by as u32);
                }
                4 => self.state.file = clamp(self.unsigned()?),
                5 => self.state.column = clamp(self.unsigned()?),
                6 | 7 | 10 | 11 => {}
                8 => self.advance(self.lines.specials[255].0.into()),
                9 => {
                    let low = self.byte()?;
                    let high = self.byte()?;
                    self.advance(u16::from_le_bytes([low, high]).into());
                }
                12 => {
                    self.unsigned()?;
                }
                other => {
                    for _ in 0..*self.lines.lengths.get(usize::from(other) - 1)? {
                        self.unsigned()?;
                    }
                }
            }
        }
    }

    /// Run an extended operation; true if it ends the sequence.
    #[inline(never)]
    fn extended(&mut self) -> Option<bool> {
        let length = usize::try_from(self.unsigned()?).ok()?;
        let end = self.at.checked_add(length).filter(|&end| end <= self.lines.program.len())?;
        if length == 0 {
            return Some(false);
        }
        let code = self.byte()?;
        if code == 2 {
            let mut word = [0; 8];
            let bytes = &self.lines.program[self.at..end];
            let size = bytes.len().min(8);
            word[..size].copy_from_slice(&bytes[..size]);
            self.state.address = u64::from_le_bytes(word) & self.lines.mask;
            self.is_dead = is_tombstone(self.state.address, self.lines.mask);
        }
        self.at = end;
        Some(code == 1)
    }
}

fn clamp(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
