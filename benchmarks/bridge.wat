;; Calls each function of the ABI in a loop, so that the loop costs less than a nanosecond. Exports take the number of calls.
(module
  (import "wasmscope_v1" "callsite" (func $callsite (param i32 i32) (result i32)))
  (import "wasmscope_v1" "enabled" (func $enabled (param i32) (result i32)))
  (import "wasmscope_v1" "log" (func $log (param i32 i32 i64 i32 i32 i32 i32)))
  (import "wasmscope_v1" "span_start" (func $span_start (param i32 i32 i32 i64 i32 i32 i32) (result i64)))
  (import "wasmscope_v1" "span_enter" (func $span_enter (param i64)))
  (import "wasmscope_v1" "span_exit" (func $span_exit (param i64)))
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
  ;; A call site with target, file, line and the two keys as fields; the same two attributes by field.
  (data (i32.const 0x180)
    "\01\09\02\00\07\00\00\00" "\00\00" "\05\00bench" "\0a\00src/lib.rs" "\06\00tenant" "\05\00retry")
  (data (i32.const 0x1c0) "\00\80" "\01\04\00\00\00acme" "\01\80" "\03\03\00\00\00\00\00\00\00")
  ;; Span name, and four attributes: method = "GET", route = "/orders", status = 200, cached = true.
  (data (i32.const 0x200) "GET /orders")
  (data (i32.const 0x220)
    "\06\00method" "\01\03\00\00\00GET"
    "\05\00route" "\01\07\00\00\00/orders"
    "\06\00status" "\03\c8\00\00\00\00\00\00\00"
    "\06\00cached" "\02\01")
  ;; Instruments without unit, description and boundaries.
  (data (i32.const 0x280) "\08\00requests" "\00\00" "\00\00" "\00\00")
  (data (i32.const 0x2a0) "\06\00volume" "\00\00" "\00\00" "\00\00")

  (global $site (mut i32) (i32.const 0))
  (global $set (mut i32) (i32.const 0))
  (global $whole (mut i32) (i32.const 0))
  (global $real (mut i32) (i32.const 0))
  (global $span (mut i64) (i64.const 0))

  (func (export "prepare")
    (global.set $site (call $callsite (i32.const 0x180) (i32.const 44)))
    (global.set $set (call $attribute_set (i32.const 0x140) (i32.const 33)))
    (global.set $whole (call $instrument (i32.const 1) (i32.const 0) (i32.const 0x280) (i32.const 16)))
    (global.set $real (call $instrument (i32.const 1) (i32.const 1) (i32.const 0x2a0) (i32.const 14)))
    (global.set $span
      (call $span_start (i32.const 0) (i32.const 0x200) (i32.const 11) (i64.const 0) (i32.const 1)
        (i32.const 0) (i32.const 0))))

  (func (export "nothing"))

  (func $empty)
  (func (export "loop") (param $n i32)
    (loop $next
      (call $empty)
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  (func (export "log") (param $n i32)
    (loop $next
      (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 0x100) (i32.const 48) (i32.const 0x140) (i32.const 33))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  ;; The last attribute is another number each time.
  (func (export "log_varying") (param $n i32)
    (loop $next
      (i64.store (i32.const 0x159) (i64.extend_i32_u (local.get $n)))
      (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 0x100) (i32.const 48) (i32.const 0x140) (i32.const 33))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  (func (export "log_site") (param $n i32)
    (loop $next
      (call $log (global.get $site) (i32.const 0) (i64.const 0) (i32.const 0x100) (i32.const 48) (i32.const 0x1c0) (i32.const 22))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  (func (export "log_site_varying") (param $n i32)
    (loop $next
      (i64.store (i32.const 0x1ce) (i64.extend_i32_u (local.get $n)))
      (call $log (global.get $site) (i32.const 0) (i64.const 0) (i32.const 0x100) (i32.const 48) (i32.const 0x1c0) (i32.const 22))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  ;; The first $size bytes of an attribute list that the host wrote at 0x1000.
  (func (export "log_list") (param $n i32) (param $size i32)
    (loop $next
      (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 0x100) (i32.const 48) (i32.const 0x1000) (local.get $size))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  ;; Likewise; the first value, a number behind a key of 10 bytes, is another each time.
  (func (export "log_list_varying") (param $n i32) (param $size i32)
    (loop $next
      (if (local.get $size) (then (i64.store (i32.const 0x100d) (i64.extend_i32_u (local.get $n)))))
      (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 0x100) (i32.const 48) (i32.const 0x1000) (local.get $size))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  (func (export "enabled") (param $n i32)
    (loop $next
      (drop (call $enabled (global.get $site)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  (func (export "measure_i64") (param $n i32)
    (loop $next
      (call $measure_i64 (global.get $whole) (i64.const 1) (global.get $set))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  (func (export "measure_f64") (param $n i32)
    (loop $next
      (call $measure_f64 (global.get $real) (f64.const 1.5) (global.get $set))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  (func (export "span") (param $n i32)
    (loop $next
      (call $span_end
        (call $span_start (i32.const 0) (i32.const 0x200) (i32.const 11) (i64.const 0) (i32.const 1)
          (i32.const 0) (i32.const 0)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  (func (export "span_attributes") (param $n i32)
    (loop $next
      (call $span_end
        (call $span_start (i32.const 0) (i32.const 0x200) (i32.const 11) (i64.const 0) (i32.const 1)
          (i32.const 0x220) (i32.const 62)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  (func (export "enter_exit") (param $n i32)
    (loop $next
      (call $span_enter (global.get $span))
      (call $span_exit (global.get $span))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  ;; Starts spans that stay open.
  (func (export "open") (param $n i32)
    (loop $next
      (drop
        (call $span_start (i32.const 0) (i32.const 0x200) (i32.const 11) (i64.const 0) (i32.const 1)
          (i32.const 0) (i32.const 0)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
