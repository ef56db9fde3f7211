//! From addresses to chains of frames, one body at a time.

use std::collections::hash_map::Entry;

use crate::base::{Ledger, Map, NONE};
use crate::debug::{Debug, Described};
use crate::functions::Function;
use crate::lines::Row;
use crate::scopes::{Scope, Scopes};
use crate::tables::Tables;

/// More places than this are not remembered at a time.
const MOST_KEPT: usize = 2_000_000;

/// The bodies that were asked for.
#[derive(Default)]
pub struct Answers {
    bodies: Map<u32, Body>,
    kept: usize,
}

impl Answers {
    /// Put the number of its chain in place of each address; 0 where nothing is known.
    pub fn look_up(&mut self, addresses: &mut [u32], debug: &Debug, tables: &mut Tables, ledger: &Ledger) {
        // By address, so that what is near each other is looked up together: memory is slow.
        let mut order: Vec<u64> =
            addresses.iter().zip(0u64..).map(|(&address, at)| (u64::from(address) << 32) | at).collect();
        order.sort_unstable();
        let mut left = &order[..];
        while let Some(&first) = left.first() {
            let body = debug.bodies.find((first >> 32) as u32);
            let count = match body {
                NONE => 1,
                _ => left.partition_point(|item| item >> 32 < debug.bodies.end(body).into()),
            };
            let (here, after) = left.split_at(count);
            left = after;
            if body == NONE {
                addresses[first as u32 as usize] = 0;
            } else {
                self.look_up_in(body, here, addresses, debug, tables, ledger);
            }
        }
    }

    /// Look addresses of one body up: each in the upper half of a number, its place among all in the lower half.
    fn look_up_in(
        &mut self,
        number: u32,
        items: &[u64],
        addresses: &mut [u32],
        debug: &Debug,
        tables: &mut Tables,
        ledger: &Ledger,
    ) {
        if self.kept > MOST_KEPT {
            self.bodies.clear();
            self.kept = 0;
        }
        let body = match self.bodies.entry(number) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(room) => {
                let made = Body::new(debug.describe(number, ledger), number, debug, ledger);
                self.kept += made.starts.len() + made.scopes.all.len() + 16;
                room.insert(made)
            }
        };
        let mut at = 0;
        for item in items {
            let address = (item >> 32) as u32;
            at += body.starts[at..].partition_point(|&start| start <= address);
            addresses[*item as u32 as usize] = if at == 0 { 0 } else { body.chain(at - 1, debug, tables, ledger) };
        }
    }
}

/// File (as the line table numbers it), line, column.
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

struct Place {
    scope: u32,
    location: Location,
    /// `NONE`: nobody asked yet.
    chain: u32,
}

/// Where in a body which frames are right.
struct Body {
    starts: Vec<u32>,
    places: Vec<Place>,
    scopes: Scopes,
    function: Option<(u32, Function)>,
    unit: Option<u32>,
    /// By scope: its function, and the chain of those that it was inlined into. `NONE`: nobody asked yet.
    functions: Vec<u32>,
    outer: Vec<u32>,
}

impl Body {
    fn new(mut described: Described, body: u32, debug: &Debug, ledger: &Ledger) -> Self {
        let count = described.scopes.all.len();
        let (starts, places) =
            if described.unit.is_some() { divide(&described, body, debug, ledger) } else { Default::default() };
        // The places say all that these did.
        described.scopes.starts = Vec::new();
        described.scopes.owners = Vec::new();
        Self {
            starts,
            places,
            scopes: described.scopes,
            function: described.function,
            unit: described.unit,
            functions: vec![NONE; count],
            outer: vec![NONE; count],
        }
    }

    fn chain(&mut self, at: usize, debug: &Debug, tables: &mut Tables, ledger: &Ledger) -> u32 {
        let Place { scope, location, chain } = self.places[at];
        if chain != NONE {
            return chain;
        }
        let around = self.around(scope, debug, tables, ledger);
        let frame = self.frame(scope, location, debug, tables, ledger);
        let chain = tables.chains.number([frame, around]);
        self.places[at].chain = chain;
        chain
    }

    /// The chain of what is around a scope.
    fn around(&mut self, scope: u32, debug: &Debug, tables: &mut Tables, ledger: &Ledger) -> u32 {
        let mut path = Vec::new();
        let mut at = scope;
        while at != 0 && self.outer[at as usize] == NONE {
            path.push(at);
            at = self.scopes.all[at as usize].parent;
        }
        let mut chain = if at == 0 { 0 } else { self.outer[at as usize] };
        while let Some(inner) = path.pop() {
            let call = &self.scopes.all[inner as usize];
            let (parent, location) = (call.parent, call.location());
            let frame = self.frame(parent, location, debug, tables, ledger);
            chain = tables.chains.number([frame, chain]);
            self.outer[inner as usize] = chain;
        }
        chain
    }

    fn frame(&mut self, scope: u32, location: Location, debug: &Debug, tables: &mut Tables, ledger: &Ledger) -> u32 {
        let function = self.named(scope, debug, tables, ledger);
        let file = match self.unit {
            Some(unit) if location != UNKNOWN => debug.path(unit, location.file, &mut tables.texts),
            _ => 0,
        };
        let low = match &self.function {
            Some((_, function)) if scope == 0 => function.low,
            None => NONE - 1,
            Some(_) => NONE,
        };
        tables.frames.number([function, file, location.line, location.column, low])
    }

    /// The function that a scope is a call of.
    fn named(&mut self, scope: u32, debug: &Debug, tables: &mut Tables, ledger: &Ledger) -> u32 {
        let known = self.functions[scope as usize];
        if known != NONE {
            return known;
        }
        let found = match self.function {
            Some((file, _)) => {
                let scope = &self.scopes.all[scope as usize];
                debug.name(file, scope.unit, scope.entry, tables, ledger)
            }
            None => 0,
        };
        self.functions[scope as usize] = found;
        found
    }
}

impl Scope {
    /// Where the call is written.
    fn location(&self) -> Location {
        Location { file: self.file, line: self.line, column: self.column }
    }
}

/// Divide a body into places with the same frames.
fn divide(described: &Described, body: u32, debug: &Debug, ledger: &Ledger) -> (Vec<u32>, Vec<Place>) {
    let (rows, scopes) = (&described.rows, &described.scopes);
    let mut starts = Vec::with_capacity(rows.len() + scopes.starts.len());
    let mut places: Vec<Place> = Vec::with_capacity(rows.len() + scopes.starts.len());
    let mut nearest = Nearest::new(described);
    // The number of rows, and of places of scopes, that begin at or before the address at hand.
    let (mut row, mut owner) = (0, 0);
    let mut address = debug.bodies.start(body);
    while address < debug.bodies.end(body) && ledger.spend(8) {
        // Of rows at the same address, the last counts; those before it were overruled.
        while rows.get(row).is_some_and(|next| next.address <= address) {
            row += 1;
        }
        while scopes.starts.get(owner).is_some_and(|&next| next <= address) {
            owner += 1;
        }
        let scope = scopes.owners[owner - 1];
        let location = nearest.location(row, scope);
        if places.last().is_none_or(|last| last.scope != scope || last.location != location) {
            starts.push(address);
            places.push(Place { scope, location, chain: NONE });
        }
        let next_row = rows.get(row).map_or(NONE, |next| next.address);
        let next_owner = scopes.starts.get(owner).copied().unwrap_or(NONE);
        address = next_row.min(next_owner);
    }
    // Many rows say what the row before them says: what was reserved for them is given back.
    starts.shrink_to_fit();
    places.shrink_to_fit();
    (starts, places)
}

/// So many rows are looked at for a line of the same scope.
const MOST_AHEAD: usize = 64;

/// Finds a line where the row has none: compilers write line 0 for code that they made up or merged.
struct Nearest<'a> {
    described: &'a Described,
    /// The last lines that were met, by scope; for a scope around others, the line of the call.
    seen: Vec<Location>,
    any: Location,
    rows: usize,
}

impl<'a> Nearest<'a> {
    fn new(described: &'a Described) -> Self {
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
        if let Some(found) = self.ahead(count, scope) {
            self.seen[scope as usize] = found;
            return found;
        }
        if self.any != UNKNOWN {
            return self.any;
        }
        rows[count..].iter().find(|row| row.line != 0).map_or(Location::of(row), Location::of)
    }

    /// The first line of a scope that the rows from one on have.
    fn ahead(&self, count: usize, scope: u32) -> Option<Location> {
        let scopes = &self.described.scopes;
        self.described.rows[count..].iter().take(MOST_AHEAD).filter(|row| row.line != 0 && !row.is_end).find_map(
            |row| {
                let owner = scopes.starts.partition_point(|&start| start <= row.address);
                (owner != 0 && scopes.owners[owner - 1] == scope).then(|| Location::of(row))
            },
        )
    }

    fn remember(&mut self, mut scope: u32, mut location: Location) {
        loop {
            self.seen[scope as usize] = location;
            let call = &self.described.scopes.all[scope as usize];
            if call.parent == NONE {
                return;
            }
            if call.line != 0 {
                location = call.location();
            }
            scope = call.parent;
        }
    }
}
