;; The telemetry that benchmarks/pipeline.py times, in loops, so that the loop costs less than a nanosecond. Exports take the
;; number of calls.
(module
  (import "wasmscope_v1" "callsite" (func $callsite (param i32 i32) (result i32)))
  (import "wasmscope_v1" "log" (func $log (param i32 i32 i64 i32 i32 i32 i32)))
  (import "wasmscope_v1" "span_start" (func $span_start (param i32 i32 i32 i64 i32 i32 i32) (result i64)))
  (import "wasmscope_v1" "span_end" (func $span_end (param i64)))
  (import "wasmscope_v1" "instrument" (func $instrument (param i32 i32 i32 i32) (result i32)))
  (import "wasmscope_v1" "attribute_set" (func $attribute_set (param i32 i32) (result i32)))
  (import "wasmscope_v1" "measure_i64" (func $measure_i64 (param i32 i64 i32)))
  (import "wasmscope_v1" "measure_f64" (func $measure_f64 (param i32 f64 i32)))

  (memory (export "memory") 1)
  ;; 48 bytes of text, and tenant = "acme", retry = 3.
  (data (i32.const 0x100) "order 4711 of customer 42 was put into the queue")
  (data (i32.const 0x140)
    "\06\00tenant" "\01\04\00\00\00acme"
    "\05\00retry" "\03\03\00\00\00\00\00\00\00")
  ;; A call site of spans: name and four fields. It has no target, file and line: the peers' spans have none either.
  (data (i32.const 0x180)
    "\02\00\04\00\00\00\00\00" "\0b\00GET /orders" "\00\00" "\00\00"
    "\06\00method" "\05\00route" "\06\00status" "\06\00cached")
  ;; The fields' values: method = "GET", route = "/orders", status = 200, cached = true.
  (data (i32.const 0x200)
    "\00\80" "\01\03\00\00\00GET" "\01\80" "\01\07\00\00\00/orders"
    "\02\80" "\03\c8\00\00\00\00\00\00\00" "\03\80" "\02\01")
  ;; The same by name, for a span without a call site.
  (data (i32.const 0x240) "GET /orders")
  (data (i32.const 0x260)
    "\06\00method" "\01\03\00\00\00GET"
    "\05\00route" "\01\07\00\00\00/orders"
    "\06\00status" "\03\c8\00\00\00\00\00\00\00"
    "\06\00cached" "\02\01")
  ;; Instruments without unit and description; the histogram has the boundaries that OpenTelemetry has by default.
  (data (i32.const 0x2c0) "\08\00requests" "\00\00" "\00\00" "\00\00")
  (data (i32.const 0x300) "\08\00duration" "\00\00" "\00\00" "\0f\00"
    "\00\00\00\00\00\00\00\00" "\00\00\00\00\00\00\14\40" "\00\00\00\00\00\00\24\40" "\00\00\00\00\00\00\39\40"
    "\00\00\00\00\00\00\49\40" "\00\00\00\00\00\c0\52\40" "\00\00\00\00\00\00\59\40" "\00\00\00\00\00\40\6f\40"
    "\00\00\00\00\00\40\7f\40" "\00\00\00\00\00\70\87\40" "\00\00\00\00\00\40\8f\40" "\00\00\00\00\00\88\a3\40"
    "\00\00\00\00\00\88\b3\40" "\00\00\00\00\00\4c\bd\40" "\00\00\00\00\00\88\c3\40")

  (global $site (mut i32) (i32.const 0))
  (global $set (mut i32) (i32.const 0))
  (global $requests (mut i32) (i32.const 0))
  (global $duration (mut i32) (i32.const 0))

  (func (export "prepare")
    (global.set $site (call $callsite (i32.const 0x180) (i32.const 56)))
    (global.set $set (call $attribute_set (i32.const 0x140) (i32.const 33)))
    (global.set $requests (call $instrument (i32.const 1) (i32.const 0) (i32.const 0x2c0) (i32.const 16)))
    (global.set $duration (call $instrument (i32.const 3) (i32.const 1) (i32.const 0x300) (i32.const 136))))

  (func $empty)
  (func (export "loop") (param $n i32)
    (loop $next
      (call $empty)
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  ;; A span with four attributes, from a call site, which has its name.
  (func $start (result i64)
    (call $span_start (global.get $site) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 1)
      (i32.const 0x200) (i32.const 39)))

  (func (export "span") (param $n i32)
    (loop $next
      (call $span_end (call $start))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  ;; The same without a call site.
  (func (export "span_by_name") (param $n i32)
    (loop $next
      (call $span_end
        (call $span_start (i32.const 0) (i32.const 0x240) (i32.const 11) (i64.const 0) (i32.const 1)
          (i32.const 0x260) (i32.const 62)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  ;; Starts spans that stay open.
  (func (export "open") (param $n i32)
    (loop $next
      (drop (call $start))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  (func (export "log") (param $n i32)
    (loop $next
      (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 0x100) (i32.const 48) (i32.const 0x140) (i32.const 33))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  (func (export "counter") (param $n i32)
    (loop $next
      (call $measure_i64 (global.get $requests) (i64.const 1) (global.get $set))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  (func (export "histogram") (param $n i32)
    (loop $next
      (call $measure_f64 (global.get $duration) (f64.const 30) (global.get $set))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  ;; One of each, as the first that a short-lived guest says.
  (func (export "some")
    (call $span_end (call $start))
    (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 0x100) (i32.const 48) (i32.const 0x140) (i32.const 33))
    (call $measure_i64 (global.get $requests) (i64.const 1) (global.get $set))
    (call $measure_f64 (global.get $duration) (f64.const 30) (global.get $set))))
