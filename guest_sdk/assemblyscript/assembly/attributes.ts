import { bound, objectSize, shortBound, write, writeShort } from "./text";

// The types of values.
const EMPTY: u8 = 0;
export const STRING: u8 = 1;
const BOOL: u8 = 2;
export const I64: u8 = 3;
const F64: u8 = 4;
const BYTES: u8 = 5;
const ARRAY: u8 = 6;
const MAP: u8 = 7;

const FIRST_CAPACITY: i32 = 112;

/**
 * A list of attributes. Each value is packed when it is set, so that a list
 * can be sent any number of times, and filled anew after `clear`.
 */
export class Attributes {
  private buffer: ArrayBuffer = new ArrayBuffer(FIRST_CAPACITY);
  private size: usize = 0;
  private count: u32 = 0;

  /**
   * Adds an attribute. The type of the value decides the type of the attribute:
   * `bool`; every integer (as i64; a `u64` beyond it as text); `f32` and `f64`;
   * `string`; `Uint8Array` and `ArrayBuffer` (bytes); `Array`, `StaticArray` and
   * the other typed arrays of any of these; `Attributes` (a map); `null` (an
   * empty value).
   */
  set<V>(key: string, value: V): Attributes {
    const list = changetype<List>(this);
    list.key(changetype<usize>(key));
    if (isReference<V>()) list.reference<V>(changetype<usize>(value));
    else list.scalar<V>(value);
    return this;
  }

  /**
   * Adds an attribute whose key is the field with this index of the call site.
   * Only for lists that go with a call site which has fields.
   */
  field<V>(index: i32, value: V): Attributes {
    const list = changetype<List>(this);
    list.fieldKey(index);
    if (isReference<V>()) list.reference<V>(changetype<usize>(value));
    else list.scalar<V>(value);
    return this;
  }

  /** Empties the list and keeps its memory. */
  clear(): Attributes {
    const list = changetype<List>(this);
    list.size = 0;
    list.count = 0;
    return this;
  }
}

/** The fields of `Attributes`, for code that does without the collector. */
@unmanaged
export class List {
  buffer: usize;
  size: usize;
  count: u32;

  key(key: usize): void {
    const at = this.reserve(shortBound(key));
    this.size += writeShort(key, at) - at;
    this.count++;
  }

  fieldKey(index: i32): void {
    store<u16>(this.reserve(2), 0x8000 | index);
    this.size += 2;
    this.count++;
  }

  scalar<V>(value: V): void {
    if (isBoolean<V>()) this.bool(value);
    else if (isInteger<V>()) {
      if (!isSigned<V>() && sizeof<V>() == 8) {
        if ((value as i64) < 0) {
          const decimal = (value as u64).toString();
          this.reference<string>(changetype<usize>(decimal));
          return;
        }
      }
      this.word(I64, value as i64);
    } else if (isFloat<V>()) this.word(F64, reinterpret<u64>(value as f64));
    else ERROR("an attribute cannot be of this type");
  }

  reference<V>(value: usize): void {
    if (isNullable<V>()) {
      if (!value) {
        store<u8>(this.reserve(1), EMPTY);
        this.size += 1;
        return;
      }
    }
    if (isString<V>()) {
      const at = this.reserve(5 + bound(value));
      const end = write(value, at + 5);
      store<u8>(at, STRING);
      store<u32>(at, end - at - 5, 1);
      this.size += end - at;
    } else if (changetype<V>(value) instanceof Uint8Array) {
      const array = changetype<Uint8Array>(value);
      this.bytes(BYTES, array.byteLength, array.dataStart, array.byteLength);
    } else if (changetype<V>(value) instanceof ArrayBuffer) {
      this.bytes(BYTES, objectSize(value) as u32, value, objectSize(value));
    } else if (changetype<V>(value) instanceof Attributes) {
      const list = changetype<List>(value);
      this.bytes(MAP, list.count, list.buffer, list.size);
    } else if (isArrayLike<V>()) {
      const array = changetype<V>(value);
      const length = array.length;
      this.bytes(ARRAY, length, 0, 0);
      for (let i = 0; i < length; i++) {
        this.element(unchecked(array[i]));
      }
    } else {
      ERROR("an attribute cannot be of this type");
    }
  }

  private element<V>(value: V): void {
    if (isReference<V>()) this.reference<V>(changetype<usize>(value));
    else this.scalar<V>(value);
  }

  private bool(value: bool): void {
    const at = this.reserve(2);
    store<u8>(at, BOOL);
    store<u8>(at, value, 1);
    this.size += 2;
  }

  private word(type: u8, bits: u64): void {
    const at = this.reserve(9);
    store<u8>(at, type);
    store<u64>(at, bits, 1);
    this.size += 9;
  }

  /** A type and a count, then `size` bytes from elsewhere. */
  private bytes(type: u8, count: u32, from: usize, size: usize): void {
    const at = this.reserve(5 + size);
    store<u8>(at, type);
    store<u32>(at, count, 1);
    memory.copy(at + 5, from, size);
    this.size += 5 + size;
  }

  /** Makes room for `more` bytes and returns where they go. */
  private reserve(more: usize): usize {
    const size = this.size;
    const capacity = objectSize(this.buffer);
    if (more > capacity - size) {
      const buffer = __renew(this.buffer, max(size + more, capacity << 1));
      this.buffer = buffer;
      __link(changetype<usize>(this), buffer, false);
    }
    return this.buffer + size;
  }
}

/** The address of the packed list; of none at 0. */
export function addressOf(attributes: usize): usize {
  return attributes ? changetype<List>(attributes).buffer : 0;
}

/** The size of the packed list in bytes; of none at 0. */
export function sizeOf(attributes: usize): usize {
  return attributes ? changetype<List>(attributes).size : 0;
}
