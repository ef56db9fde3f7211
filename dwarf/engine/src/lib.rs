//! The symbolizer's engine: DWARF in, functions, files and lines out. README.md says how it is used.
//!
//! The host writes sections into the memory, opens them, and asks. What it reads may be hostile: the host bounds memory
//! and time, `Ledger` bounds the work, so that what can be answered is answered.

mod answers;
mod base;
mod bodies;
mod debug;
mod functions;
mod lines;
mod names;
mod ranges;
mod reports;
mod scopes;
mod tables;
mod units;
mod exports;
