// Texts: UTF-16 in the guest, UTF-8 for the host.
//
// Here and in the other files of this folder, strings and lists are passed as
// addresses (`usize`). The compiler keeps every managed argument of every call
// on a stack of its own, so that the collector finds it; the program that
// calls this library has done that, and once is enough.

/** Texts that need no more than this are written without touching the heap. */
const FIXED_SIZE: usize = 512;

/** Up to this many code units, `bound` does not look at the text. */
const UNREAD_UNITS: usize = 1024;

/**
 * Texts whose length is a u16 are cut here: far longer than any name that a
 * host takes, short enough that the length fits whatever the characters are.
 */
const SHORT_UNITS: usize = 10_000;

/** The size of an object of the runtime, such as a string, in bytes. */
export function objectSize(object: usize): usize {
  return load<u32>(object - 4);
}

/** A copy of the string that the collector does not know. */
export function keep(text: usize): usize {
  const size = objectSize(text);
  const copy = heap.alloc(4 + size) + 4;
  store<u32>(copy - 4, size);
  memory.copy(copy, text, size);
  return copy;
}

/** The number of bytes of UTF-8 that the string needs at most. */
export function bound(text: usize): usize {
  const units = objectSize(text) >> 1;
  if (units <= UNREAD_UNITS) return 3 * units;
  let size = units;
  for (const end = text + (units << 1); text < end; text += 2) {
    const unit = load<u16>(text) as u32;
    size += ((unit >= 0x80) as usize) + ((unit >= 0x800) as usize);
  }
  return size;
}

/** Writes the string as UTF-8 at `to` and returns the end. */
export function write(text: usize, to: usize): usize {
  return encode(text, objectSize(text) >> 1, to);
}

/** Writes at most so many units of the string as UTF-8; nothing where it is null. */
export function writeFirst(text: usize, units: usize, to: usize): usize {
  return text ? encode(text, min(objectSize(text) >> 1, units), to) : to;
}

/** The number of bytes that `writeShort` needs at most. */
export function shortBound(text: usize): usize {
  return 2 + 3 * min(objectSize(text) >> 1, SHORT_UNITS);
}

/** Writes the string behind its length as u16 and returns the end. */
export function writeShort(text: usize, to: usize): usize {
  const end = writeFirst(text, SHORT_UNITS, to + 2);
  store<u16>(to, end - to - 2);
  return end;
}

/** Writes UTF-16 as UTF-8; a lone surrogate becomes U+FFFD. */
function encode(from: usize, units: usize, to: usize): usize {
  const end = from + (units << 1);
  while (from < end) {
    let point = load<u16>(from) as u32;
    from += 2;
    if (point < 0x80) {
      store<u8>(to++, point);
      continue;
    }
    if (point < 0x800) {
      store<u8>(to++, 0xc0 | (point >> 6));
    } else {
      if ((point & 0xf800) == 0xd800) {
        const low = from < end ? (load<u16>(from) as u32) : 0;
        if (point < 0xdc00 && (low & 0xfc00) == 0xdc00) {
          from += 2;
          point = 0x10000 + ((point & 0x3ff) << 10) + (low & 0x3ff);
        } else {
          point = 0xfffd;
        }
      }
      if (point < 0x10000) {
        store<u8>(to++, 0xe0 | (point >> 12));
      } else {
        store<u8>(to++, 0xf0 | (point >> 18));
        store<u8>(to++, 0x80 | ((point >> 12) & 0x3f));
      }
      store<u8>(to++, 0x80 | ((point >> 6) & 0x3f));
    }
    store<u8>(to++, 0x80 | (point & 0x3f));
  }
  return to;
}

/** Reads a text that the host has written. */
export function read(from: usize, size: usize): string {
  return String.UTF8.decodeUnsafe(from, size);
}

function fixed(): usize {
  return memory.data(512);
}

/** Lends room for `size` bytes until `release`; one loan at a time. */
export function borrow(size: usize): usize {
  return size <= FIXED_SIZE ? fixed() : heap.alloc(size);
}

export function release(room: usize): void {
  if (room != fixed()) heap.free(room);
}
