import { Attributes, Logger } from "../../index";

const log = new Logger("size");

export function run(n: i32): void {
  log.info("run", new Attributes().set("n", n).set("s", "text"));
}
