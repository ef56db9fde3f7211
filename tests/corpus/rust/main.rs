//! What Rust programs do with the standard library, whose debug information comes prebuilt.
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Number(f64),
    Text(String),
    List(Vec<Value>),
}

fn parse(text: &str) -> Result<Value, Box<dyn std::error::Error>> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Ok(Value::List(inner.split(',').map(parse).collect::<Result<_, _>>()?));
    }
    if let Some(quoted) = text.strip_prefix('"') {
        return Ok(Value::Text(quoted.trim_end_matches('"').to_string()));
    }
    Ok(Value::Number(text.parse()?))
}

fn main() {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut ordered = BTreeMap::new();
    for (index, word) in "the quick brown fox jumps over the lazy dog".split(' ').enumerate() {
        *counts.entry(word.to_owned()).or_default() += 1;
        ordered.insert(word, index);
    }
    let mut out = String::new();
    for (word, index) in &ordered {
        writeln!(out, "{word:>8} {index:04} {:?}", counts.get(*word)).unwrap();
    }
    println!("{out}{:?} {:?}", parse("[1, 2.5, \"three\"]"), parse("nothing").map_err(|error| error.to_string()));
}
