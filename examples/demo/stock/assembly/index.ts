// What a shop has in stock.

import {
  Attributes,
  AttributeSet,
  attributeSet,
  Gauge,
  Logger,
  Span,
  StatusCode,
} from "wasmscope";

/** Below this many units, it is time to order. */
const LOW: i32 = 5;

class Item {
  /** The attributes of its measurements. */
  readonly set: AttributeSet;

  constructor(
    readonly name: string,
    public units: i32,
  ) {
    this.set = attributeSet(new Attributes().set("item.name", name));
  }
}

const log = new Logger("stock");
const level = new Gauge<i64>("stock.level", "{unit}", "Units in stock");
const items = [new Item("apple", 40), new Item("pear", 8), new Item("plum", 3)];

/** Finds an item by its number, which counts from 1. */
function lookup(number: i32): Item | null {
  const span = Span.start("lookup", new Attributes().set("item", number));
  span.enter();
  const item = number > 0 && number <= items.length ? items[number - 1] : null;
  span.setAttribute("found", item !== null).end();
  return item;
}

function take(item: Item, count: i32): i32 {
  if (count > item.units) {
    const about = new Attributes().set("wanted", count);
    log.error("not enough in stock", about.set("left", item.units));
    return -1;
  }
  item.units -= count;
  level.record(item.units, item.set);
  const about = new Attributes().set("item.name", item.name);
  about.set("left", item.units);
  if (item.units < LOW) log.warn("stock is low", about.set("reorder", true));
  else log.info("reserved", about);
  return item.units;
}

/** Takes units of an item out of stock; returns how many are left, -1 if it cannot. */
export function reserve(item: i32, count: i32): i32 {
  const about = new Attributes().set("item", item).set("count", count);
  const span = Span.start("reserve", about).enter();
  const found = lookup(item);
  const left = found ? take(found, count) : -1;
  if (left < 0) {
    const why = found ? "not enough in stock" : "no such item";
    span.setStatus(StatusCode.ERROR, why);
  }
  span.end();
  return left;
}
