import * as host from "./wasmscope_v1";
import { addressOf, sizeOf } from "./attributes";
import { objectSize, shortBound, writeShort } from "./text";

/** What `enabled` answers: the record would be kept; the answer is for good. */
const NOW: i32 = 1;
const FOR_GOOD: i32 = 2;

const LAST_SEVERITY: u32 = 24;

/**
 * What never changes about a place in the program that logs or starts spans.
 * The host is told at the first use. Like the host's side of it, a call site
 * lives as long as the instance: it is meant for constants.
 */
@unmanaged
export class CallSite {
  private id: i32 = 0;
  private answer: i32 = 0;
  /** What the host is yet to be told; 0 when it knows. */
  private descriptor: usize = 0;
  private size: usize = 0;
  /** The next one of the same logger. */
  next: CallSite | null = null;

  /** Strings, the `StaticArray<string>` of fields and attributes as addresses. */
  constructor(
    kind: u8,
    readonly severity: i32,
    name: usize,
    target: usize,
    fields: usize,
    attributes: usize,
    file: usize,
    line: u32,
  ) {
    const fieldsEnd = fields ? fields + objectSize(fields) : 0;
    let size: usize =
      8 + shortBound(name) + shortBound(target) + shortBound(file);
    for (let field = fields; field < fieldsEnd; field += sizeof<usize>()) {
      size += shortBound(load<usize>(field));
    }
    size += sizeOf(attributes);
    const descriptor = heap.alloc(size);
    store<u8>(descriptor, kind);
    store<u8>(descriptor, (severity as u32) <= LAST_SEVERITY ? severity : 0, 1);
    store<u16>(descriptor, (fieldsEnd - fields) / sizeof<usize>(), 2);
    store<u32>(descriptor, line, 4);
    let end = writeShort(name, descriptor + 8);
    end = writeShort(target, end);
    end = writeShort(file, end);
    for (let field = fields; field < fieldsEnd; field += sizeof<usize>()) {
      end = writeShort(load<usize>(field), end);
    }
    memory.copy(end, addressOf(attributes), sizeOf(attributes));
    this.descriptor = descriptor;
    this.size = end + sizeOf(attributes) - descriptor;
  }

  /** Whether a record from here would be kept. */
  get enabled(): bool {
    const id = this.register();
    const answer = this.answer;
    return ((answer & FOR_GOOD ? answer : host.enabled(id)) & NOW) != 0;
  }

  /** Whether no record from here will ever be kept; known once registered. */
  get silent(): bool {
    return this.answer == FOR_GOOD;
  }

  /** The host's id of this call site. */
  register(): i32 {
    const descriptor = this.descriptor;
    if (descriptor) {
      this.id = host.callsite(descriptor, this.size);
      this.answer = host.enabled(this.id);
      this.descriptor = 0;
      heap.free(descriptor);
    }
    return this.id;
  }
}
