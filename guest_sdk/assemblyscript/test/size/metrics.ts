import { Attributes, Counter, attributeSet } from "../../index";

const runs = new Counter<i64>("runs", "{run}", "Runs");
const set = attributeSet(new Attributes().set("s", "text"));

export function run(): void {
  runs.add(1, set);
}
