//! Line tables' programs: the machine that runs them up to the next row. https://dwarfstd.org/doc/DWARF5.pdf 6.2.5

use gimli::LineProgramHeader;

use crate::base::Reader;
use crate::ranges::is_tombstone;

/// The state of a line table's machine.
#[derive(Clone, Copy)]
pub struct State {
    pub address: u64,
    pub file: u32,
    pub line: u32,
    pub column: u32,
}

impl State {
    /// That at the beginning of each sequence.
    pub const START: Self = Self { address: 0, file: 1, line: 1, column: 0 };
}

pub struct Program {
    pub bytes: &'static [u8],
    /// How many operands the standard operations have.
    lengths: &'static [u8],
    /// The bits of an address.
    mask: u64,
    /// The first special operation, what each adds to address and line, and what one step of the address is.
    base: u8,
    specials: Box<[(u16, i16); 256]>,
    unit_bytes: u64,
}

impl Program {
    pub fn new(header: &LineProgramHeader<Reader>) -> Self {
        Self {
            bytes: header.raw_program_buf().slice(),
            lengths: header.standard_opcode_lengths().slice(),
            mask: if header.address_size() == 8 { u64::MAX } else { u32::MAX.into() },
            base: header.opcode_base(),
            specials: specials(header),
            unit_bytes: header.minimum_instruction_length().into(),
        }
    }
}

pub enum Step {
    Row,
    End,
    Stop,
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

pub struct Machine<'a> {
    program: &'a Program,
    /// Where in the program it is.
    pub at: usize,
    pub state: State,
    /// Whether the program makes no sense from here on.
    pub is_broken: bool,
    /// Whether the sequence began at a tombstone: behind it, all addresses are made up.
    pub is_dead: bool,
}

impl<'a> Machine<'a> {
    pub fn new(program: &'a Program, at: usize, state: State) -> Self {
        Self { program, at, state, is_broken: false, is_dead: false }
    }

    #[inline(always)]
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.program.bytes.get(self.at)?;
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
        self.state.address = self.state.address.wrapping_add(bytes) & self.program.mask;
    }

    /// Run up to the next row, a sequence's end or the end of the program.
    #[inline(always)]
    pub fn step(&mut self) -> Step {
        self.execute().unwrap_or_else(|| {
            self.is_broken = self.at < self.program.bytes.len() || self.is_broken;
            self.at = self.program.bytes.len();
            Step::Stop
        })
    }

    #[inline(always)]
    fn execute(&mut self) -> Option<Step> {
        loop {
            if self.at >= self.program.bytes.len() {
                return Some(Step::Stop);
            }
            let opcode = self.byte()?;
            if opcode >= self.program.base {
                let (bytes, lines) = self.program.specials[usize::from(opcode)];
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
                    self.advance(operations.wrapping_mul(self.program.unit_bytes));
                }
                3 => {
                    let by = self.signed()?;
                    self.state.line = self.state.line.wrapping_add(by as u32);
                }
                4 => self.state.file = clamp(self.unsigned()?),
                5 => self.state.column = clamp(self.unsigned()?),
                6 | 7 | 10 | 11 => {}
                8 => self.advance(self.program.specials[255].0.into()),
                9 => {
                    let low = self.byte()?;
                    let high = self.byte()?;
                    self.advance(u16::from_le_bytes([low, high]).into());
                }
                12 => {
                    self.unsigned()?;
                }
                other => {
                    for _ in 0..*self.program.lengths.get(usize::from(other) - 1)? {
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
        let end = self.at.checked_add(length).filter(|&end| end <= self.program.bytes.len())?;
        if length == 0 {
            return Some(false);
        }
        let code = self.byte()?;
        if code == 2 {
            let mut word = [0; 8];
            let bytes = &self.program.bytes[self.at..end];
            let size = bytes.len().min(8);
            word[..size].copy_from_slice(&bytes[..size]);
            self.state.address = u64::from_le_bytes(word) & self.program.mask;
            self.is_dead = is_tombstone(self.state.address, self.program.mask);
        }
        self.at = end;
        Some(code == 1)
    }
}

fn clamp(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
