//! Line tables: the rows of one body at a time.
//!
//! A table is run once to find which of its runs of rows are about which body, and a run again when its body is asked
//! for. So rows are kept only of what was asked for, and the rows of one body never speak for another.

use std::cell::RefCell;

use gimli::{DebugLineOffset, Dwarf, LineProgramHeader};

use crate::base::{Ledger, Map, NONE, Problem, Reader};
use crate::bodies::Bodies;
use crate::line_program::{Machine, Program, State, Step};
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

/// Rows of one sequence that follow each other inside of one body.
struct Run {
    body: u32,
    /// Where the program goes on, and the state there: the next row is the run's first.
    at: u32,
    state: State,
}

pub struct Lines {
    header: LineProgramHeader<Reader>,
    program: Program,
    runs: Vec<Run>,
    /// Texts of files, by number in the table.
    paths: RefCell<Map<u32, u32>>,
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
        let mut lines = Self { program: Program::new(&header), runs: Vec::new(), paths: RefCell::default(), header };
        lines.runs = lines.find_runs(bodies, ledger);
        Some(lines)
    }

    fn find_runs(&self, bodies: &Bodies, ledger: &Ledger) -> Vec<Run> {
        let mut runs = Vec::new();
        if !ledger.spend(self.program.bytes.len() as u64 / 2) {
            return runs;
        }
        let mut machine = Machine::new(&self.program, 0, State::START);
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
                        machine.state = State::START;
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
            let mut machine = Machine::new(&self.program, run.at as usize, run.state);
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
        let is_ordered =
            rows.windows(2).all(|pair| (pair[0].address, !pair[0].is_end) <= (pair[1].address, !pair[1].is_end));
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
    // Builds in a sandbox map their folders to wasisdk://v30.0 and the like.
    let scheme = next.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let has_scheme = scheme > 1 && next[scheme..].starts_with(b"://");
    if has_drive || has_scheme || next.first().is_some_and(|&byte| byte == b'/' || byte == b'\\') {
        path.clear();
    } else if !path.is_empty() && !next.is_empty() && !matches!(path.last(), Some(b'/' | b'\\')) {
        let is_windows = path.get(1) == Some(&b':') && path.contains(&b'\\') || path.starts_with(b"\\");
        path.push(if is_windows { b'\\' } else { b'/' });
    }
    path.extend_from_slice(next);
}
