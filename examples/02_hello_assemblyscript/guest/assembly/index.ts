// A guest that greets: logs with attributes, spans within spans, a counter.

import {
  attributeSet,
  Attributes,
  Counter,
  Logger,
  Span,
  StatusCode,
} from "wasmscope";

const log = new Logger("hello");
const greetings = new Counter<i64>(
  "hello.greetings",
  "{greeting}",
  "Greetings given",
);
const spoken = attributeSet(new Attributes().set("how", "spoken"));

const names = ["Ada", "Grace", "Barbara"];

function greet(number: i32): void {
  const name = names[number];
  const about = new Attributes().set("number", number).set("name", name);
  const span = Span.start("greet", about).enter();
  log.info("Hello, " + name + "!", new Attributes().set("formal", number == 0));
  greetings.add(1, spoken);
  span.end();
}

/** Greets some guests and returns how many it greeted. */
export function hello(guests: i32): i32 {
  const span = Span.start(
    "greet_all",
    new Attributes().set("guests", guests),
  ).enter();
  let greeted = 0;
  while (greeted < guests && greeted < names.length) greet(greeted++);
  if (greeted < guests) {
    const about = new Attributes()
      .set("known", names.length)
      .set("missing", guests - greeted);
    log.warn("some guests have no name", about);
    span.setStatus(StatusCode.ERROR, "not everybody was greeted");
  }
  span.setAttribute("greeted", greeted).end();
  return greeted;
}
