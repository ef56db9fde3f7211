import { Attributes, Logger, Span, StatusCode } from "../../index";

const log = new Logger("size");

export function run(n: i32): void {
  const span = Span.start("run", new Attributes().set("n", n)).enter();
  log.info("run", new Attributes().set("s", "text"));
  span.setStatus(StatusCode.ERROR, "no").end();
}
