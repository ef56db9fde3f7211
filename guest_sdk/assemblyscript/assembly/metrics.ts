import * as host from "./wasmscope_v1";
import { addressOf, Attributes, sizeOf } from "./attributes";
import { objectSize, shortBound, writeShort } from "./text";

const COUNTER: i32 = 1;
const UP_DOWN_COUNTER: i32 = 2;
const HISTOGRAM: i32 = 3;
const GAUGE: i32 = 4;

const I64: i32 = 0;
const F64: i32 = 1;

/** Attributes of measurements that the host knows. */
export type AttributeSet = i32;

/**
 * Tells the host attributes that measurements will have. The same attributes
 * give the same set.
 */
export function attributeSet(attributes: Attributes): AttributeSet {
  const list = changetype<usize>(attributes);
  return host.attribute_set(addressOf(list), sizeOf(list));
}

/**
 * What measures. The host is told at the first measurement. Make it a constant:
 * it lives as long as the instance.
 */
@unmanaged
export class Instrument {
  private id: i32 = 0;
  /** What the host is yet to be told; 0 when it knows. */
  private descriptor: usize = 0;
  private size: usize = 0;

  /** Strings and the `StaticArray<f64>` of boundaries as addresses. */
  constructor(
    private kind: i32,
    private number: i32,
    name: usize,
    unit: usize,
    description: usize,
    boundaries: usize,
  ) {
    const boundariesSize = boundaries ? objectSize(boundaries) : 0;
    const descriptor = heap.alloc(
      2 +
        shortBound(name) +
        shortBound(unit) +
        shortBound(description) +
        boundariesSize,
    );
    let end = writeShort(name, descriptor);
    end = writeShort(unit, end);
    end = writeShort(description, end);
    store<u16>(end, boundariesSize / sizeof<f64>());
    memory.copy(end + 2, boundaries, boundariesSize);
    this.descriptor = descriptor;
    this.size = end + 2 + boundariesSize - descriptor;
  }

  measureInteger(value: i64, attributes: AttributeSet): void {
    host.measure_i64(this.register(), value, attributes);
  }

  measureFloat(value: f64, attributes: AttributeSet): void {
    host.measure_f64(this.register(), value, attributes);
  }

  private register(): i32 {
    const descriptor = this.descriptor;
    if (descriptor) {
      this.id = host.instrument(this.kind, this.number, descriptor, this.size);
      this.descriptor = 0;
      heap.free(descriptor);
    }
    return this.id;
  }
}

/** An instrument for `T`, which is `i64`, `f64` or what these can hold. */
@unmanaged
export class Measure<T> extends Instrument {
  constructor(
    kind: i32,
    name: string,
    unit: string,
    description: string,
    boundaries: StaticArray<f64> | null,
  ) {
    super(
      kind,
      isFloat<T>() ? F64 : I64,
      changetype<usize>(name),
      changetype<usize>(unit),
      changetype<usize>(description),
      changetype<usize>(boundaries),
    );
  }

  protected measure(value: T, attributes: AttributeSet): void {
    if (isFloat<T>()) this.measureFloat(value as f64, attributes);
    else if (isInteger<T>()) this.measureInteger(value as i64, attributes);
    else ERROR("an instrument measures integers or floats");
  }
}

/** A sum that only grows. */
@unmanaged
export class Counter<T> extends Measure<T> {
  constructor(name: string, unit: string = "", description: string = "") {
    super(COUNTER, name, unit, description, null);
  }

  add(value: T, attributes: AttributeSet = 0): void {
    this.measure(value, attributes);
  }
}

/** A sum that grows and shrinks. */
@unmanaged
export class UpDownCounter<T> extends Measure<T> {
  constructor(name: string, unit: string = "", description: string = "") {
    super(UP_DOWN_COUNTER, name, unit, description, null);
  }

  add(value: T, attributes: AttributeSet = 0): void {
    this.measure(value, attributes);
  }
}

/** How values are spread. */
@unmanaged
export class Histogram<T> extends Measure<T> {
  /** `boundaries` advises how to divide the values: strictly increasing. */
  constructor(
    name: string,
    unit: string = "",
    description: string = "",
    boundaries: StaticArray<f64> | null = null,
  ) {
    super(HISTOGRAM, name, unit, description, boundaries);
  }

  record(value: T, attributes: AttributeSet = 0): void {
    this.measure(value, attributes);
  }
}

/** A value of which the last one counts. */
@unmanaged
export class Gauge<T> extends Measure<T> {
  constructor(name: string, unit: string = "", description: string = "") {
    super(GAUGE, name, unit, description, null);
  }

  record(value: T, attributes: AttributeSet = 0): void {
    this.measure(value, attributes);
  }
}
