//! From addresses to chains of frames, one body at a time.

use crate::base::{Ledger, Map, NONE};
use crate::debug::{Debug, Described};
use crate::lines::Row;
use crate::tables::Tables;

/// More places than this are not remembered at a time.
const MOST_KEPT: usize = 4_000_000;

/// From which address on which chain is right, in a body.
struct Places {
    starts: Vec<u32>,
    chains: Vec<u32>,
}

/// The bodies that were asked for.
#[derive(Default)]
pub struct Answers {
    bodies: Map<u32, Places>,
    kept: usize,
}

impl Answers {
    /// Put the number of its chain in place of each address; 0 where nothing is known.
    pub fn look_up(&mut self, addresses: &mut [u32], debug: &Debug, tables: &mut Tables, ledger: &Ledger) {
        for address in addresses {
            let body = debug.bodies.find(*address);
            if body == NONE {
                *address = 0;
                continue;
            }
            if !self.bodies.contains_key(&body) {
                let places = place(&debug.describe(body, ledger), body, debug, tables, ledger);
                self.kept += places.starts.len() + 16;
                if self.kept > MOST_KEPT {
                    self.bodies.clear();
                    self.kept = places.starts.len() + 16;
                }
                self.bodies.insert(body, places);
            }
            let places = &self.bodies[&body];
            let at = places.starts.partition_point(|start| start <= address);
            *address = if at == 0 { 0 } else { places.chains[at - 1] };
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
struct Location {
    file: u32,
    line: u32,
    column: u32,
}

const UNKNOWN: Location = Location { file: NONE, line: 0, column: 0 };

impl Location {
    fn of(row: &Row) -> Self {
        Self { file: row.file, line: row.line, column: row.column }
    }
}

struct Builder<'a> {
    described: &'a Described<'a>,
    debug: &'a Debug,
    tables: &'a mut Tables,
    ledger: &'a Ledger,
    /// By scope: its function, and the chain of those that it was inlined into. `NONE`: not looked at yet.
    functions: Vec<u32>,
    outer: Vec<u32>,
}

impl Builder<'_> {
    fn frame(&mut self, scope: u32, location: Location) -> u32 {
        let function = self.function(scope);
        let file = match self.described.unit {
            Some(unit) if location != UNKNOWN => self.debug.path(unit, location.file, &mut self.tables.texts),
            _ => 0,
        };
        let low = if scope == 0 { self.described.entry() } else { NONE };
        let is_inlined = u32::from(scope != 0);
        let _ = is_inlined;
        self.tables.frames.number([function, file, location.line, location.column, low])
    }

    fn function(&mut self, scope: u32) -> u32 {
        let known = self.functions[scope as usize];
        if known != NONE {
            return known;
        }
        let found = match self.described.function {
            Some((file, ..)) => {
                let Scope { entry, unit } = Scope::of(self.described, scope);
                self.debug.name(file, unit, entry, self.tables, self.ledger)
            }
            None => 0,
        };
        self.functions[scope as usize] = found;
        found
    }

    /// The chain of what is around a scope.
    fn around(&mut self, scope: u32) -> u32 {
        let mut path = Vec::new();
        let mut at = scope;
        while at != 0 && self.outer[at as usize] == NONE {
            path.push(at);
            at = self.described.scopes.all[at as usize].parent;
        }
        let mut chain = if at == 0 { 0 } else { self.outer[at as usize] };
        while let Some(inner) = path.pop() {
            let call = &self.described.scopes.all[inner as usize];
            let location = Location { file: call.file, line: call.line, column: call.column };
            let frame = self.frame(call.parent, location);
            chain = self.tables.chains.number([frame, chain]);
            self.outer[inner as usize] = chain;
        }
        chain
    }

    fn chain(&mut self, scope: u32, location: Location) -> u32 {
        let around = self.around(scope);
        let frame = self.frame(scope, location);
        self.tables.chains.number([frame, around])
    }
}

struct Scope {
    entry: gimli::UnitOffset,
    unit: u32,
}

impl Scope {
    fn of(described: &Described<'_>, scope: u32) -> Self {
        let scope = &described.scopes.all[scope as usize];
        Self { entry: scope.entry, unit: scope.unit }
    }
}

/// Work out all that is known about a body.
fn place(described: &Described<'_>, body: u32, debug: &Debug, tables: &mut Tables, ledger: &Ledger) -> Places {
    let mut places = Places { starts: Vec::new(), chains: Vec::new() };
    if described.unit.is_none() {
        return places;
    }
    let count = described.scopes.all.len();
    let mut builder =
        Builder { described, debug, tables, ledger, functions: vec![NONE; count], outer: vec![NONE; count] };
    let (rows, scopes) = (&described.rows, &described.scopes);
    let mut nearest = Nearest::new(described);
    // The number of rows, and of places of scopes, that begin at or before the address at hand.
    let (mut row, mut owner) = (0, 0);
    let mut address = debug.bodies.start(body);
    let mut last = (NONE, UNKNOWN, 0);
    while address < debug.bodies.end(body) {
        // Of rows at the same address, the last counts; those before it were overruled.
        while rows.get(row).is_some_and(|next| next.address <= address) {
            row += 1;
        }
        while scopes.starts.get(owner).is_some_and(|&next| next <= address) {
            owner += 1;
        }
        let scope = scopes.owners[owner - 1];
        let location = nearest.location(row, scope);
        if (scope, location) != (last.0, last.1) || places.starts.is_empty() {
            last = (scope, location, builder.chain(scope, location));
            if places.chains.last() != Some(&last.2) {
                places.starts.push(address);
                places.chains.push(last.2);
            }
        }
        if !ledger.spend(8) {
            break;
        }
        let next_row = rows.get(row).map_or(NONE, |next| next.address);
        let next_owner = scopes.starts.get(owner).copied().unwrap_or(NONE);
        address = next_row.min(next_owner);
    }
    places
}

/// Finds a line where the row has none: compilers write line 0 for code that they made up or merged.
struct Nearest<'a> {
    described: &'a Described<'a>,
    /// The last lines that were met, by scope; for a scope around others, the line of the call.
    seen: Vec<Location>,
    any: Location,
    rows: usize,
}

impl<'a> Nearest<'a> {
    fn new(described: &'a Described<'a>) -> Self {
        Self { described, seen: vec![UNKNOWN; described.scopes.all.len()], any: UNKNOWN, rows: 0 }
    }

    /// The location of a scope's code, given how many rows begin at or before it.
    fn location(&mut self, count: usize, scope: u32) -> Location {
        let rows = &self.described.rows;
        let Some(row) = count.checked_sub(1).map(|at| &rows[at]) else {
            // A function's first bytes declare its locals, and often no row speaks of them: the first one does.
            let first = rows.iter().find(|row| row.line != 0).or(rows.first());
            return first.map_or(UNKNOWN, Location::of);
        };
        if row.is_end {
            return UNKNOWN;
        }
        if row.line != 0 {
            if self.rows != count {
                self.rows = count;
                self.any = Location::of(row);
            }
            self.remember(scope, Location::of(row));
            return Location::of(row);
        }
        if self.seen[scope as usize] != UNKNOWN {
            return self.seen[scope as usize];
        }
        if self.any != UNKNOWN {
            return self.any;
        }
        rows[count..].iter().find(|row| row.line != 0).map_or(Location::of(row), Location::of)
    }

    fn remember(&mut self, mut scope: u32, mut location: Location) {
        loop {
            self.seen[scope as usize] = location;
            let call = &self.described.scopes.all[scope as usize];
            if call.parent == NONE {
                return;
            }
            if call.line != 0 {
                location = Location { file: call.file, line: call.line, column: call.column };
            }
            scope = call.parent;
        }
    }
}
