//! A guest that greets. It uses `tracing` as any Rust program does; wasmscope is one line, and the counter.

use tracing::{debug, info, info_span, instrument, warn};
use wasmscope::Counter;

static GREETINGS: Counter = Counter::new("hello.greetings")
    .unit("{greeting}")
    .description("Greetings given");

/// Greets some of the guests and returns how many it greeted.
#[unsafe(no_mangle)]
pub extern "C" fn hello(guests: i32) -> i32 {
    wasmscope::init();
    greet_all(guests)
}

#[instrument]
fn greet_all(guests: i32) -> i32 {
    let names = ["Ada", "Grace", "Barbara"];
    let mut greeted = 0;
    for number in 0..guests {
        let Some(name) = names.get(number as usize) else {
            warn!(number, known = names.len(), "a guest without a name");
            break;
        };
        let _span = info_span!("greet", number, name).entered();
        debug!("looking up the language");
        let language = language_of(name);
        info!(language, formal = number == 0, "Hello, {name}!");
        GREETINGS.add(1);
        greeted += 1;
    }
    info!(greeted, "done");
    greeted
}

#[instrument]
fn language_of(name: &str) -> &'static str {
    match name.len() {
        3 => "en",
        5 => "fr",
        _ => "de",
    }
}
