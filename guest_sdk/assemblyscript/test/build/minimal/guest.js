export async function instantiate(module, imports = {}) {
  const __module0 = imports.wasmscope_v1;
  const adaptedImports = {
    wasmscope_v1: Object.setPrototypeOf({
      exception(span, type, typeSize, message, messageSize, stack, stackSize, attributes, attributesSize) {
        // assembly/wasmscope_v1/exception(i64, usize, usize, usize, usize, usize, usize, usize, usize) => void
        type = type >>> 0;
        typeSize = typeSize >>> 0;
        message = message >>> 0;
        messageSize = messageSize >>> 0;
        stack = stack >>> 0;
        stackSize = stackSize >>> 0;
        attributes = attributes >>> 0;
        attributesSize = attributesSize >>> 0;
        __module0.exception(span, type, typeSize, message, messageSize, stack, stackSize, attributes, attributesSize);
      },
      callsite(descriptor, size) {
        // assembly/wasmscope_v1/callsite(usize, usize) => i32
        descriptor = descriptor >>> 0;
        size = size >>> 0;
        return __module0.callsite(descriptor, size);
      },
      log(callsite, severity, context, body, bodySize, attributes, attributesSize) {
        // assembly/wasmscope_v1/log(i32, i32, i64, usize, usize, usize, usize) => void
        body = body >>> 0;
        bodySize = bodySize >>> 0;
        attributes = attributes >>> 0;
        attributesSize = attributesSize >>> 0;
        __module0.log(callsite, severity, context, body, bodySize, attributes, attributesSize);
      },
      span_start(callsite, name, nameSize, context, kind, attributes, attributesSize) {
        // assembly/wasmscope_v1/span_start(i32, usize, usize, i64, i32, usize, usize) => i64
        name = name >>> 0;
        nameSize = nameSize >>> 0;
        attributes = attributes >>> 0;
        attributesSize = attributesSize >>> 0;
        return __module0.span_start(callsite, name, nameSize, context, kind, attributes, attributesSize) || 0n;
      },
      instrument(kind, number, descriptor, size) {
        // assembly/wasmscope_v1/instrument(i32, i32, usize, usize) => i32
        descriptor = descriptor >>> 0;
        size = size >>> 0;
        return __module0.instrument(kind, number, descriptor, size);
      },
      span_link(span, target, attributes, attributesSize) {
        // assembly/wasmscope_v1/span_link(i64, i64, usize, usize) => void
        attributes = attributes >>> 0;
        attributesSize = attributesSize >>> 0;
        __module0.span_link(span, target, attributes, attributesSize);
      },
      span_event(span, name, nameSize, attributes, attributesSize) {
        // assembly/wasmscope_v1/span_event(i64, usize, usize, usize, usize) => void
        name = name >>> 0;
        nameSize = nameSize >>> 0;
        attributes = attributes >>> 0;
        attributesSize = attributesSize >>> 0;
        __module0.span_event(span, name, nameSize, attributes, attributesSize);
      },
      span_status(span, code, description, descriptionSize) {
        // assembly/wasmscope_v1/span_status(i64, i32, usize, usize) => void
        description = description >>> 0;
        descriptionSize = descriptionSize >>> 0;
        __module0.span_status(span, code, description, descriptionSize);
      },
      span_rename(span, name, nameSize) {
        // assembly/wasmscope_v1/span_rename(i64, usize, usize) => void
        name = name >>> 0;
        nameSize = nameSize >>> 0;
        __module0.span_rename(span, name, nameSize);
      },
      span_attributes(span, attributes, attributesSize) {
        // assembly/wasmscope_v1/span_attributes(i64, usize, usize) => void
        attributes = attributes >>> 0;
        attributesSize = attributesSize >>> 0;
        __module0.span_attributes(span, attributes, attributesSize);
      },
      span_context(context, out) {
        // assembly/wasmscope_v1/span_context(i64, usize) => i32
        out = out >>> 0;
        return __module0.span_context(context, out);
      },
      remote_context(traceparent, traceparentSize, tracestate, tracestateSize) {
        // assembly/wasmscope_v1/remote_context(usize, usize, usize, usize) => i64
        traceparent = traceparent >>> 0;
        traceparentSize = traceparentSize >>> 0;
        tracestate = tracestate >>> 0;
        tracestateSize = tracestateSize >>> 0;
        return __module0.remote_context(traceparent, traceparentSize, tracestate, tracestateSize) || 0n;
      },
      inject(context, field, fieldSize, out, capacity) {
        // assembly/wasmscope_v1/inject(i64, usize, usize, usize, usize) => i32
        field = field >>> 0;
        fieldSize = fieldSize >>> 0;
        out = out >>> 0;
        capacity = capacity >>> 0;
        return __module0.inject(context, field, fieldSize, out, capacity);
      },
      baggage_get(key, keySize, out, capacity) {
        // assembly/wasmscope_v1/baggage_get(usize, usize, usize, usize) => i32
        key = key >>> 0;
        keySize = keySize >>> 0;
        out = out >>> 0;
        capacity = capacity >>> 0;
        return __module0.baggage_get(key, keySize, out, capacity);
      },
    }, __module0),
  };
  const { exports } = await WebAssembly.instantiate(module, adaptedImports);
  const memory = exports.memory || imports.env.memory;
  const adaptedExports = Object.setPrototypeOf({
    endMap(key) {
      // test/guest/endMap(~lib/string/String) => void
      key = __lowerString(key) || __notnull();
      exports.endMap(key);
    },
    send(body) {
      // test/guest/send(~lib/string/String) => void
      body = __lowerString(body) || __notnull();
      exports.send(body);
    },
    setString(key, value) {
      // test/guest/setString(~lib/string/String, ~lib/string/String) => void
      key = __retain(__lowerString(key) || __notnull());
      value = __lowerString(value) || __notnull();
      try {
        exports.setString(key, value);
      } finally {
        __release(key);
      }
    },
    setBool(key, value) {
      // test/guest/setBool(~lib/string/String, bool) => void
      key = __lowerString(key) || __notnull();
      value = value ? 1 : 0;
      exports.setBool(key, value);
    },
    setI64(key, value) {
      // test/guest/setI64(~lib/string/String, i64) => void
      key = __lowerString(key) || __notnull();
      value = value || 0n;
      exports.setI64(key, value);
    },
    setF64(key, value) {
      // test/guest/setF64(~lib/string/String, f64) => void
      key = __lowerString(key) || __notnull();
      exports.setF64(key, value);
    },
    setEmpty(key) {
      // test/guest/setEmpty(~lib/string/String) => void
      key = __lowerString(key) || __notnull();
      exports.setEmpty(key);
    },
    setBytes(key, value) {
      // test/guest/setBytes(~lib/string/String, ~lib/typedarray/Uint8Array) => void
      key = __retain(__lowerString(key) || __notnull());
      value = __lowerTypedArray(Uint8Array, 6, 0, value) || __notnull();
      try {
        exports.setBytes(key, value);
      } finally {
        __release(key);
      }
    },
    setBuffer(key, value) {
      // test/guest/setBuffer(~lib/string/String, ~lib/arraybuffer/ArrayBuffer) => void
      key = __retain(__lowerString(key) || __notnull());
      value = __lowerBuffer(value) || __notnull();
      try {
        exports.setBuffer(key, value);
      } finally {
        __release(key);
      }
    },
    setStrings(key, value) {
      // test/guest/setStrings(~lib/string/String, ~lib/array/Array<~lib/string/String>) => void
      key = __retain(__lowerString(key) || __notnull());
      value = __lowerArray((pointer, value) => { __setU32(pointer, __lowerString(value) || __notnull()); }, 8, 2, value) || __notnull();
      try {
        exports.setStrings(key, value);
      } finally {
        __release(key);
      }
    },
    setI64s(key, value) {
      // test/guest/setI64s(~lib/string/String, ~lib/array/Array<i64>) => void
      key = __retain(__lowerString(key) || __notnull());
      value = __lowerArray(__setU64, 9, 3, value) || __notnull();
      try {
        exports.setI64s(key, value);
      } finally {
        __release(key);
      }
    },
    setF64s(key, value) {
      // test/guest/setF64s(~lib/string/String, ~lib/array/Array<f64>) => void
      key = __retain(__lowerString(key) || __notnull());
      value = __lowerArray(__setF64, 10, 3, value) || __notnull();
      try {
        exports.setF64s(key, value);
      } finally {
        __release(key);
      }
    },
    fieldString(index, value) {
      // test/guest/fieldString(i32, ~lib/string/String) => void
      value = __lowerString(value) || __notnull();
      exports.fieldString(index, value);
    },
    fieldBool(index, value) {
      // test/guest/fieldBool(i32, bool) => void
      value = value ? 1 : 0;
      exports.fieldBool(index, value);
    },
    logSite(severity, target, name, fields, file, line) {
      // test/guest/logSite(i32, ~lib/string/String, ~lib/string/String, ~lib/staticarray/StaticArray<~lib/string/String> | null, ~lib/string/String, u32) => bool
      target = __retain(__lowerString(target) || __notnull());
      name = __retain(__lowerString(name) || __notnull());
      fields = __retain(__lowerStaticArray((pointer, value) => { __setU32(pointer, __lowerString(value) || __notnull()); }, 16, 2, fields));
      file = __lowerString(file) || __notnull();
      try {
        return exports.logSite(severity, target, name, fields, file, line) != 0;
      } finally {
        __release(target);
        __release(name);
        __release(fields);
      }
    },
    spanSite(target, name, fields, file, line) {
      // test/guest/spanSite(~lib/string/String, ~lib/string/String, ~lib/staticarray/StaticArray<~lib/string/String> | null, ~lib/string/String, u32) => void
      target = __retain(__lowerString(target) || __notnull());
      name = __retain(__lowerString(name) || __notnull());
      fields = __retain(__lowerStaticArray((pointer, value) => { __setU32(pointer, __lowerString(value) || __notnull()); }, 16, 2, fields));
      file = __lowerString(file) || __notnull();
      try {
        exports.spanSite(target, name, fields, file, line);
      } finally {
        __release(target);
        __release(name);
        __release(fields);
      }
    },
    count(name, unit, description) {
      // test/guest/count(~lib/string/String, ~lib/string/String, ~lib/string/String) => void
      name = __retain(__lowerString(name) || __notnull());
      unit = __retain(__lowerString(unit) || __notnull());
      description = __lowerString(description) || __notnull();
      try {
        exports.count(name, unit, description);
      } finally {
        __release(name);
        __release(unit);
      }
    },
    record(name, unit, description, boundaries) {
      // test/guest/record(~lib/string/String, ~lib/string/String, ~lib/string/String, ~lib/staticarray/StaticArray<f64> | null) => void
      name = __retain(__lowerString(name) || __notnull());
      unit = __retain(__lowerString(unit) || __notnull());
      description = __retain(__lowerString(description) || __notnull());
      boundaries = __lowerStaticArray(__setF64, 18, 3, boundaries, Float64Array);
      try {
        exports.record(name, unit, description, boundaries);
      } finally {
        __release(name);
        __release(unit);
        __release(description);
      }
    },
    emit(severity, body) {
      // test/guest/emit(i32, ~lib/string/String) => void
      body = __lowerString(body) || __notnull();
      exports.emit(severity, body);
    },
    enabled(severity) {
      // test/guest/enabled(i32) => bool
      return exports.enabled(severity) != 0;
    },
    ids() {
      // test/guest/ids() => ~lib/string/String
      return __liftString(exports.ids() >>> 0);
    },
    incoming(traceparent, tracestate) {
      // test/guest/incoming(~lib/string/String, ~lib/string/String) => bool
      traceparent = __retain(__lowerString(traceparent) || __notnull());
      tracestate = __lowerString(tracestate) || __notnull();
      try {
        return exports.incoming(traceparent, tracestate) != 0;
      } finally {
        __release(traceparent);
      }
    },
    outgoing(field) {
      // test/guest/outgoing(~lib/string/String) => ~lib/string/String
      field = __lowerString(field) || __notnull();
      return __liftString(exports.outgoing(field) >>> 0);
    },
    baggageOf(key) {
      // test/guest/baggageOf(~lib/string/String) => ~lib/string/String
      key = __lowerString(key) || __notnull();
      return __liftString(exports.baggageOf(key) >>> 0);
    },
    fail(message) {
      // test/guest/fail(~lib/string/String) => void
      message = __lowerString(message) || __notnull();
      exports.fail(message);
    },
    work(rounds, body) {
      // test/guest/work(i32, ~lib/string/String) => i32
      body = __lowerString(body) || __notnull();
      return exports.work(rounds, body);
    },
  }, exports);
  function __lowerBuffer(value) {
    if (value == null) return 0;
    const pointer = exports.__new(value.byteLength, 1) >>> 0;
    new Uint8Array(memory.buffer).set(new Uint8Array(value), pointer);
    return pointer;
  }
  function __liftString(pointer) {
    if (!pointer) return null;
    const
      end = pointer + new Uint32Array(memory.buffer)[pointer - 4 >>> 2] >>> 1,
      memoryU16 = new Uint16Array(memory.buffer);
    let
      start = pointer >>> 1,
      string = "";
    while (end - start > 1024) string += String.fromCharCode(...memoryU16.subarray(start, start += 1024));
    return string + String.fromCharCode(...memoryU16.subarray(start, end));
  }
  function __lowerString(value) {
    if (value == null) return 0;
    const
      length = value.length,
      pointer = exports.__new(length << 1, 2) >>> 0,
      memoryU16 = new Uint16Array(memory.buffer);
    for (let i = 0; i < length; ++i) memoryU16[(pointer >>> 1) + i] = value.charCodeAt(i);
    return pointer;
  }
  function __lowerArray(lowerElement, id, align, values) {
    if (values == null) return 0;
    const
      length = values.length,
      buffer = exports.__pin(exports.__new(length << align, 1)) >>> 0,
      header = exports.__pin(exports.__new(16, id)) >>> 0;
    __setU32(header + 0, buffer);
    __dataview.setUint32(header + 4, buffer, true);
    __dataview.setUint32(header + 8, length << align, true);
    __dataview.setUint32(header + 12, length, true);
    for (let i = 0; i < length; ++i) lowerElement(buffer + (i << align >>> 0), values[i]);
    exports.__unpin(buffer);
    exports.__unpin(header);
    return header;
  }
  function __lowerTypedArray(constructor, id, align, values) {
    if (values == null) return 0;
    const
      length = values.length,
      buffer = exports.__pin(exports.__new(length << align, 1)) >>> 0,
      header = exports.__new(12, id) >>> 0;
    __setU32(header + 0, buffer);
    __dataview.setUint32(header + 4, buffer, true);
    __dataview.setUint32(header + 8, length << align, true);
    new constructor(memory.buffer, buffer, length).set(values);
    exports.__unpin(buffer);
    return header;
  }
  function __lowerStaticArray(lowerElement, id, align, values, typedConstructor) {
    if (values == null) return 0;
    const
      length = values.length,
      buffer = exports.__pin(exports.__new(length << align, id)) >>> 0;
    if (typedConstructor) {
      new typedConstructor(memory.buffer, buffer, length).set(values);
    } else {
      for (let i = 0; i < length; i++) lowerElement(buffer + (i << align >>> 0), values[i]);
    }
    exports.__unpin(buffer);
    return buffer;
  }
  const refcounts = new Map();
  function __retain(pointer) {
    if (pointer) {
      const refcount = refcounts.get(pointer);
      if (refcount) refcounts.set(pointer, refcount + 1);
      else refcounts.set(exports.__pin(pointer), 1);
    }
    return pointer;
  }
  function __release(pointer) {
    if (pointer) {
      const refcount = refcounts.get(pointer);
      if (refcount === 1) exports.__unpin(pointer), refcounts.delete(pointer);
      else if (refcount) refcounts.set(pointer, refcount - 1);
      else throw Error(`invalid refcount '${refcount}' for reference '${pointer}'`);
    }
  }
  function __notnull() {
    throw TypeError("value must not be null");
  }
  let __dataview = new DataView(memory.buffer);
  function __setU32(pointer, value) {
    try {
      __dataview.setUint32(pointer, value, true);
    } catch {
      __dataview = new DataView(memory.buffer);
      __dataview.setUint32(pointer, value, true);
    }
  }
  function __setU64(pointer, value) {
    try {
      __dataview.setBigUint64(pointer, value, true);
    } catch {
      __dataview = new DataView(memory.buffer);
      __dataview.setBigUint64(pointer, value, true);
    }
  }
  function __setF64(pointer, value) {
    try {
      __dataview.setFloat64(pointer, value, true);
    } catch {
      __dataview = new DataView(memory.buffer);
      __dataview.setFloat64(pointer, value, true);
    }
  }
  return adaptedExports;
}
