//! Counts the words that come in. It has never heard of wasmscope.

use std::io::{self, BufRead};
use std::process::ExitCode;

fn main() -> ExitCode {
    let longest = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(10);
    let (mut lines, mut words) = (0, 0);
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else {
            eprintln!("line {} is not UTF-8", lines + 1);
            return ExitCode::from(1);
        };
        lines += 1;
        for word in line.split_whitespace() {
            words += 1;
            if word.chars().count() > longest {
                eprintln!("line {lines}: {word:?} is a long word");
            }
        }
    }
    println!("{lines} lines, {words} words");
    if words == 0 {
        eprintln!("nothing to count");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}
