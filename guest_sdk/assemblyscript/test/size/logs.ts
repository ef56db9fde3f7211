import { Logger } from "../../index";

const log = new Logger("size");

export function run(): void {
  log.info("run");
}
