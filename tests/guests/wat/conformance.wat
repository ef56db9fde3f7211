;; The conformance scenarios (tests/conformance/README.md) against the bare ABI (docs/abi.md), without any SDK.
;;
;; `(;p;)i32` is the type of an address or length. With every `(;p;)i32` replaced by `i64` this is the same guest with a
;; 64-bit memory. Texts, attribute lists and descriptors lie in memory with their length, a u16, before them; $at turns
;; the address of one into the pair of address and length that the ABI takes.
(module
  (import "wasmscope_v1" "callsite" (func $callsite (param (;p;)i32 (;p;)i32) (result i32)))
  (import "wasmscope_v1" "log" (func $log (param i32 i32 i64 (;p;)i32 (;p;)i32 (;p;)i32 (;p;)i32)))
  (import "wasmscope_v1" "span_start"
    (func $span_start (param i32 (;p;)i32 (;p;)i32 i64 i32 (;p;)i32 (;p;)i32) (result i64)))
  (import "wasmscope_v1" "span_enter" (func $span_enter (param i64)))
  (import "wasmscope_v1" "span_exit" (func $span_exit (param i64)))
  (import "wasmscope_v1" "span_end" (func $span_end (param i64)))
  (import "wasmscope_v1" "span_attributes" (func $span_attributes (param i64 (;p;)i32 (;p;)i32)))
  (import "wasmscope_v1" "span_event" (func $span_event (param i64 (;p;)i32 (;p;)i32 (;p;)i32 (;p;)i32)))
  (import "wasmscope_v1" "span_link" (func $span_link (param i64 i64 (;p;)i32 (;p;)i32)))
  (import "wasmscope_v1" "span_status" (func $span_status (param i64 i32 (;p;)i32 (;p;)i32)))
  (import "wasmscope_v1" "span_rename" (func $span_rename (param i64 (;p;)i32 (;p;)i32)))
  (import "wasmscope_v1" "exception" (func $exception_at
    (param i64 (;p;)i32 (;p;)i32 (;p;)i32 (;p;)i32 (;p;)i32 (;p;)i32 (;p;)i32 (;p;)i32)))
  (import "wasmscope_v1" "span_context" (func $span_context (param i64 (;p;)i32) (result i32)))
  (import "wasmscope_v1" "inject"
    (func $inject (param i64 (;p;)i32 (;p;)i32 (;p;)i32 (;p;)i32) (result i32)))
  (import "wasmscope_v1" "remote_context"
    (func $remote_context (param (;p;)i32 (;p;)i32 (;p;)i32 (;p;)i32) (result i64)))
  (import "wasmscope_v1" "baggage_get"
    (func $baggage_get (param (;p;)i32 (;p;)i32 (;p;)i32 (;p;)i32) (result i32)))
  (import "wasmscope_v1" "instrument" (func $instrument (param i32 i32 (;p;)i32 (;p;)i32) (result i32)))
  (import "wasmscope_v1" "attribute_set" (func $attribute_set (param (;p;)i32 (;p;)i32) (result i32)))
  (import "wasmscope_v1" "measure_i64" (func $measure_i64 (param i32 i64 i32)))
  (import "wasmscope_v1" "measure_f64" (func $measure_f64 (param i32 f64 i32)))

  (memory (export "memory") (;p;)i32 4)

  ;; An empty text, and no attributes.
  (global $none (;p;)i32 ((;p;)i32.const 0))
  ;; Room for what is made at run time: up to the end of memory, 192 KiB.
  (global $scratch (;p;)i32 ((;p;)i32.const 0x10000))

  ;; Call sites: kind, severity, field count, line; name, target, file; fields; attributes.
  (global $site.log (;p;)i32 ((;p;)i32.const 0x0040))
  (data ((;p;)i32.const 0x0040) "\19\00" "\01\00\00\00\00\00\00\00" "\00\00" "\0b\00conformance" "\00\00")
  (global $site.event (;p;)i32 ((;p;)i32.const 0x0080))
  (data ((;p;)i32.const 0x0080) "\2a\00" "\01\09\01\00\00\00\00\00"
    "\0d\00order.created" "\0b\00conformance" "\00\00" "\02\00id")
  (global $site.outer (;p;)i32 ((;p;)i32.const 0x00c0))
  (data ((;p;)i32.const 0x00c0) "\16\00" "\02\00\01\00\00\00\00\00" "\05\00outer" "\00\00" "\00\00" "\01\00a")

  ;; Texts.
  (global $trace (;p;)i32 ((;p;)i32.const 0x0100))
  (data ((;p;)i32.const 0x0100) "\05\00trace")
  (global $debug (;p;)i32 ((;p;)i32.const 0x0110))
  (data ((;p;)i32.const 0x0110) "\05\00debug")
  (global $info (;p;)i32 ((;p;)i32.const 0x0120))
  (data ((;p;)i32.const 0x0120) "\04\00info")
  (global $warn (;p;)i32 ((;p;)i32.const 0x0130))
  (data ((;p;)i32.const 0x0130) "\04\00warn")
  (global $error (;p;)i32 ((;p;)i32.const 0x0140))
  (data ((;p;)i32.const 0x0140) "\05\00error")
  (global $fatal (;p;)i32 ((;p;)i32.const 0x0150))
  (data ((;p;)i32.const 0x0150) "\05\00fatal")
  (global $attributes (;p;)i32 ((;p;)i32.const 0x0160))
  (data ((;p;)i32.const 0x0160) "\0a\00attributes")
  (global $created (;p;)i32 ((;p;)i32.const 0x0170))
  (data ((;p;)i32.const 0x0170) "\07\00created")
  (global $inside_outer (;p;)i32 ((;p;)i32.const 0x0180))
  (data ((;p;)i32.const 0x0180) "\0c\00inside outer")
  (global $inside_inner (;p;)i32 ((;p;)i32.const 0x0190))
  (data ((;p;)i32.const 0x0190) "\0c\00inside inner")
  (global $inner (;p;)i32 ((;p;)i32.const 0x01a0))
  (data ((;p;)i32.const 0x01a0) "\05\00inner")
  (global $target (;p;)i32 ((;p;)i32.const 0x01b0))
  (data ((;p;)i32.const 0x01b0) "\06\00target")
  (global $details (;p;)i32 ((;p;)i32.const 0x01c0))
  (data ((;p;)i32.const 0x01c0) "\07\00details")
  (global $cache_miss (;p;)i32 ((;p;)i32.const 0x01d0))
  (data ((;p;)i32.const 0x01d0) "\0a\00cache.miss")
  (global $no_stock (;p;)i32 ((;p;)i32.const 0x01e0))
  (data ((;p;)i32.const 0x01e0) "\08\00no stock")
  (global $renamed (;p;)i32 ((;p;)i32.const 0x01f0))
  (data ((;p;)i32.const 0x01f0) "\0f\00details.renamed")
  (global $parent (;p;)i32 ((;p;)i32.const 0x0210))
  (data ((;p;)i32.const 0x0210) "\06\00parent")
  (global $child (;p;)i32 ((;p;)i32.const 0x0220))
  (data ((;p;)i32.const 0x0220) "\05\00child")
  (global $root (;p;)i32 ((;p;)i32.const 0x0230))
  (data ((;p;)i32.const 0x0230) "\04\00root")
  (global $failing (;p;)i32 ((;p;)i32.const 0x0240))
  (data ((;p;)i32.const 0x0240) "\07\00failing")
  (global $value_error (;p;)i32 ((;p;)i32.const 0x0250))
  (data ((;p;)i32.const 0x0250) "\0a\00ValueError")
  (global $bad_value (;p;)i32 ((;p;)i32.const 0x0260))
  (data ((;p;)i32.const 0x0260) "\09\00bad value")
  (global $at_f (;p;)i32 ((;p;)i32.const 0x0270))
  (data ((;p;)i32.const 0x0270) "\04\00at f")
  (global $from_remote (;p;)i32 ((;p;)i32.const 0x0280))
  (data ((;p;)i32.const 0x0280) "\0b\00from remote")
  (global $traceparent (;p;)i32 ((;p;)i32.const 0x0290))
  (data ((;p;)i32.const 0x0290) "\0b\00traceparent")
  (global $outgoing (;p;)i32 ((;p;)i32.const 0x02a0))
  (data ((;p;)i32.const 0x02a0) "\08\00outgoing")
  (global $trace_id (;p;)i32 ((;p;)i32.const 0x02b0))
  (data ((;p;)i32.const 0x02b0) "\08\00trace_id")
  (global $tenant (;p;)i32 ((;p;)i32.const 0x02c0))
  (data ((;p;)i32.const 0x02c0) "\06\00tenant")
  (global $spaen (;p;)i32 ((;p;)i32.const 0x02d0))
  (data ((;p;)i32.const 0x02d0) "\0b\00späń 🦀")
  (global $japanese (;p;)i32 ((;p;)i32.const 0x02e0))
  (data ((;p;)i32.const 0x02e0) "\0d\00日本語 ∓")
  (global $limits (;p;)i32 ((;p;)i32.const 0x02f0))
  (data ((;p;)i32.const 0x02f0) "\06\00limits")
  (global $many (;p;)i32 ((;p;)i32.const 0x0300))
  (data ((;p;)i32.const 0x0300) "\04\00many")
  (global $long (;p;)i32 ((;p;)i32.const 0x0310))
  (data ((;p;)i32.const 0x0310) "\04\00long")
  (global $doomed (;p;)i32 ((;p;)i32.const 0x0320))
  (data ((;p;)i32.const 0x0320) "\06\00doomed")
  (global $about_to_fail (;p;)i32 ((;p;)i32.const 0x0330))
  (data ((;p;)i32.const 0x0330) "\0d\00about to fail")
  (global $panic (;p;)i32 ((;p;)i32.const 0x0340))
  (data ((;p;)i32.const 0x0340) "\05\00panic")
  (global $boom (;p;)i32 ((;p;)i32.const 0x0350))
  (data ((;p;)i32.const 0x0350) "\04\00boom")
  (global $left_open (;p;)i32 ((;p;)i32.const 0x0360))
  (data ((;p;)i32.const 0x0360) "\09\00left open")
  (global $incoming (;p;)i32 ((;p;)i32.const 0x0380))
  (data ((;p;)i32.const 0x0380) "\37\0000-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
  (global $vendor (;p;)i32 ((;p;)i32.const 0x03c0))
  (data ((;p;)i32.const 0x03c0) "\08\00vendor=x")

  ;; Attribute lists.
  (global $with.all (;p;)i32 ((;p;)i32.const 0x0400))
  (data ((;p;)i32.const 0x0400) "\76\00"
    "\01\00s" "\01\04\00\00\00text"
    "\01\00t" "\02\01"
    "\01\00i" "\03\f9\ff\ff\ff\ff\ff\ff\ff"
    "\01\00f" "\04\00\00\00\00\00\00\04\40"
    "\01\00b" "\05\02\00\00\00\00\ff"
    "\04\00list" "\06\02\00\00\00" "\01\01\00\00\00a" "\01\01\00\00\00b"
    "\04\00ints" "\06\02\00\00\00" "\03\01\00\00\00\00\00\00\00" "\03\02\00\00\00\00\00\00\00"
    "\03\00map" "\07\01\00\00\00" "\01\00k" "\02\01")
  (global $with.id (;p;)i32 ((;p;)i32.const 0x04c0))
  (data ((;p;)i32.const 0x04c0) "\0b\00" "\00\80" "\03\2a\00\00\00\00\00\00\00") ;; field 0
  (global $with.a (;p;)i32 ((;p;)i32.const 0x04d0))
  (data ((;p;)i32.const 0x04d0) "\0b\00" "\00\80" "\03\01\00\00\00\00\00\00\00") ;; field 0
  (global $with.later (;p;)i32 ((;p;)i32.const 0x04e0))
  (data ((;p;)i32.const 0x04e0) "\0f\00" "\05\00later" "\01\03\00\00\00yes")
  (global $with.key (;p;)i32 ((;p;)i32.const 0x0500))
  (data ((;p;)i32.const 0x0500) "\0b\00" "\03\00key" "\01\01\00\00\00k")
  (global $with.why (;p;)i32 ((;p;)i32.const 0x0510))
  (data ((;p;)i32.const 0x0510) "\11\00" "\03\00why" "\01\07\00\00\00because")
  (global $with.route (;p;)i32 ((;p;)i32.const 0x0530))
  (data ((;p;)i32.const 0x0530) "\0e\00" "\05\00route" "\01\02\00\00\00/a")
  (global $with.unicode (;p;)i32 ((;p;)i32.const 0x0550))
  (data ((;p;)i32.const 0x0550) "\14\00" "\04\00🔑" "\01\09\00\00\00日本語")

  ;; Instruments: name, unit, description; boundaries.
  (global $requests (;p;)i32 ((;p;)i32.const 0x0600))
  (data ((;p;)i32.const 0x0600) "\28\00" "\08\00requests" "\09\00{request}" "\0f\00Requests served" "\00\00")
  (global $queue (;p;)i32 ((;p;)i32.const 0x0640))
  (data ((;p;)i32.const 0x0640) "\0d\00" "\05\00queue" "\00\00" "\00\00" "\00\00")
  (global $latency (;p;)i32 ((;p;)i32.const 0x0660))
  (data ((;p;)i32.const 0x0660) "\21\00" "\07\00latency" "\02\00ms" "\00\00"
    "\02\00" "\00\00\00\00\00\00\f0\3f" "\00\00\00\00\00\00\24\40")
  (global $temperature (;p;)i32 ((;p;)i32.const 0x0690))
  (data ((;p;)i32.const 0x0690) "\13\00" "\0b\00temperature" "\00\00" "\00\00" "\00\00")
  (global $volume (;p;)i32 ((;p;)i32.const 0x06c0))
  (data ((;p;)i32.const 0x06c0) "\0e\00" "\06\00volume" "\00\00" "\00\00" "\00\00")

  ;; --- What the scenarios share ----------------------------------------------------------------------------------

  ;; Address and length of a text, list or descriptor.
  (func $at (param $it (;p;)i32) (result (;p;)i32 (;p;)i32)
    ((;p;)i32.add (local.get $it) ((;p;)i32.const 2))
    ((;p;)i32.load16_u (local.get $it)))

  ;; Log in the current span, from the call site with the target `conformance`.
  (func $say (param $severity i32) (param $body (;p;)i32) (param $attributes (;p;)i32)
    (call $log
      (call $callsite (call $at (global.get $site.log)))
      (local.get $severity) (i64.const 0) (call $at (local.get $body)) (call $at (local.get $attributes))))

  ;; Start a span without call site.
  (func $start (param $name (;p;)i32) (param $context i64) (param $kind i32) (param $attributes (;p;)i32) (result i64)
    (call $span_start
      (i32.const 0) (call $at (local.get $name)) (local.get $context) (local.get $kind)
      (call $at (local.get $attributes))))

  (func $exit_and_end (param $span i64)
    (call $span_exit (local.get $span))
    (call $span_end (local.get $span)))

  (func $exception (param $span i64) (param $type (;p;)i32) (param $message (;p;)i32) (param $stack (;p;)i32)
    (call $exception_at
      (local.get $span) (call $at (local.get $type)) (call $at (local.get $message)) (call $at (local.get $stack))
      (call $at (global.get $none))))

  ;; Write the start of a string attribute at $scratch, and give the address for the text itself.
  (func $string_attribute (param $key (;p;)i32) (param $size i32) (result (;p;)i32)
    (local $after_key (;p;)i32)
    ;; A key looks the same in a list as here: a u16 and its bytes.
    (memory.copy (global.get $scratch) (local.get $key)
      ((;p;)i32.add ((;p;)i32.load16_u (local.get $key)) ((;p;)i32.const 2)))
    (local.set $after_key
      ((;p;)i32.add (global.get $scratch) ((;p;)i32.add ((;p;)i32.load16_u (local.get $key)) ((;p;)i32.const 2))))
    (i32.store8 (local.get $after_key) (i32.const 1))
    (i32.store offset=1 (local.get $after_key) (local.get $size))
    ((;p;)i32.add (local.get $after_key) ((;p;)i32.const 5)))

  ;; Set one attribute of a span, begun by $string_attribute, that ends at $end.
  (func $set (param $span i64) (param $end (;p;)i32)
    (call $span_attributes
      (local.get $span) (global.get $scratch) ((;p;)i32.sub (local.get $end) (global.get $scratch))))

  ;; --- Scenarios -------------------------------------------------------------------------------------------------

  (func (export "log_levels")
    (call $say (i32.const 1) (global.get $trace) (global.get $none))
    (call $say (i32.const 5) (global.get $debug) (global.get $none))
    (call $say (i32.const 9) (global.get $info) (global.get $none))
    (call $say (i32.const 13) (global.get $warn) (global.get $none))
    (call $say (i32.const 17) (global.get $error) (global.get $none))
    (call $say (i32.const 21) (global.get $fatal) (global.get $none)))

  (func (export "log_attributes")
    (call $say (i32.const 9) (global.get $attributes) (global.get $with.all)))

  ;; Severity and event name are the call site's; the attribute's key is its field.
  (func (export "log_event")
    (call $log
      (call $callsite (call $at (global.get $site.event)))
      (i32.const 0) (i64.const 0) (call $at (global.get $created)) (call $at (global.get $with.id))))

  ;; `outer` has its name and its attribute's key from a call site.
  (func (export "span_nested")
    (local $outer i64)
    (local $inner i64)
    (local.set $outer
      (call $span_start
        (call $callsite (call $at (global.get $site.outer)))
        (call $at (global.get $none)) (i64.const 0) (i32.const 2) (call $at (global.get $with.a))))
    (call $span_enter (local.get $outer))
    (call $say (i32.const 9) (global.get $inside_outer) (global.get $none))
    (local.set $inner (call $start (global.get $inner) (i64.const 0) (i32.const 1) (global.get $none)))
    (call $span_enter (local.get $inner))
    (call $say (i32.const 9) (global.get $inside_inner) (global.get $none))
    (call $exit_and_end (local.get $inner))
    (call $exit_and_end (local.get $outer)))

  (func (export "span_details")
    (local $target i64)
    (local $details i64)
    (local.set $target (call $start (global.get $target) (i64.const 0) (i32.const 0) (global.get $none)))
    (call $span_end (local.get $target))
    (local.set $details (call $start (global.get $details) (i64.const 0) (i32.const 0) (global.get $none)))
    (call $span_attributes (local.get $details) (call $at (global.get $with.later)))
    (call $span_event (local.get $details) (call $at (global.get $cache_miss)) (call $at (global.get $with.key)))
    (call $span_link (local.get $details) (local.get $target) (call $at (global.get $with.why)))
    (call $span_status (local.get $details) (i32.const 2) (call $at (global.get $no_stock)))
    (call $span_rename (local.get $details) (call $at (global.get $renamed)))
    (call $span_end (local.get $details)))

  (func (export "span_parents")
    (local $parent i64)
    (local $child i64)
    (local $root i64)
    (local.set $parent (call $start (global.get $parent) (i64.const 0) (i32.const 0) (global.get $none)))
    (local.set $child (call $start (global.get $child) (local.get $parent) (i32.const 0) (global.get $none)))
    (local.set $root (call $start (global.get $root) (i64.const -1) (i32.const 0) (global.get $none)))
    (call $span_end (local.get $parent))
    (call $span_end (local.get $child))
    (call $span_end (local.get $root)))

  (func (export "exception")
    (local $span i64)
    (local.set $span (call $start (global.get $failing) (i64.const 0) (i32.const 0) (global.get $none)))
    (call $span_enter (local.get $span))
    (call $exception (i64.const 0) (global.get $value_error) (global.get $bad_value) (global.get $at_f))
    (call $span_status (i64.const 0) (i32.const 2) (call $at (global.get $bad_value)))
    (call $exit_and_end (local.get $span)))

  (func (export "metrics")
    (local $route i32)
    (local $it i32)
    (local.set $route (call $attribute_set (call $at (global.get $with.route))))
    (local.set $it (call $instrument (i32.const 1) (i32.const 0) (call $at (global.get $requests))))
    (call $measure_i64 (local.get $it) (i64.const 1) (i32.const 0))
    (call $measure_i64 (local.get $it) (i64.const 2) (local.get $route))
    (call $measure_i64 (local.get $it) (i64.const 3) (local.get $route))
    (local.set $it (call $instrument (i32.const 2) (i32.const 0) (call $at (global.get $queue))))
    (call $measure_i64 (local.get $it) (i64.const 5) (i32.const 0))
    (call $measure_i64 (local.get $it) (i64.const -2) (i32.const 0))
    (local.set $it (call $instrument (i32.const 3) (i32.const 1) (call $at (global.get $latency))))
    (call $measure_f64 (local.get $it) (f64.const 0.5) (local.get $route))
    (call $measure_f64 (local.get $it) (f64.const 5) (local.get $route))
    (call $measure_f64 (local.get $it) (f64.const 50) (local.get $route))
    (local.set $it (call $instrument (i32.const 4) (i32.const 1) (call $at (global.get $temperature))))
    (call $measure_f64 (local.get $it) (f64.const 20.5) (i32.const 0))
    (call $measure_f64 (local.get $it) (f64.const 21.5) (i32.const 0))
    (local.set $it (call $instrument (i32.const 1) (i32.const 1) (call $at (global.get $volume))))
    (call $measure_f64 (local.get $it) (f64.const 1.5) (i32.const 0)))

  (func (export "propagation")
    (local $remote i64)
    (local $span i64)
    (local $text (;p;)i32)
    (local $end (;p;)i32)
    (local $byte (;p;)i32)
    (local.set $remote
      (call $remote_context (call $at (global.get $incoming)) (call $at (global.get $vendor))))
    (local.set $span (call $start (global.get $from_remote) (local.get $remote) (i32.const 2) (global.get $none)))
    (call $span_enter (local.get $span))

    ;; A traceparent has 55 bytes (W3C Trace Context).
    (local.set $text (call $string_attribute (global.get $outgoing) (i32.const 55)))
    (if (i32.ne (i32.const 55)
          (call $inject (i64.const 0) (call $at (global.get $traceparent)) (local.get $text) ((;p;)i32.const 55)))
      (then (unreachable)))
    (call $set (local.get $span) ((;p;)i32.add (local.get $text) ((;p;)i32.const 55)))

    ;; The ids, as written by the host, lie behind the text they become.
    (local.set $text (call $string_attribute (global.get $trace_id) (i32.const 32)))
    (local.set $end ((;p;)i32.add (local.get $text) ((;p;)i32.const 32)))
    (local.set $byte (local.get $end))
    (if (i32.ne (i32.const 1) (call $span_context (i64.const 0) (local.get $byte)))
      (then (unreachable)))
    (loop $next
      (i32.store8 (local.get $text)
        (call $hex_digit (i32.shr_u (i32.load8_u (local.get $byte)) (i32.const 4))))
      (i32.store8 offset=1 (local.get $text)
        (call $hex_digit (i32.and (i32.load8_u (local.get $byte)) (i32.const 15))))
      (local.set $byte ((;p;)i32.add (local.get $byte) ((;p;)i32.const 1)))
      (local.set $text ((;p;)i32.add (local.get $text) ((;p;)i32.const 2)))
      (br_if $next ((;p;)i32.lt_u (local.get $text) (local.get $end))))
    (call $set (local.get $span) (local.get $end))

    (local.set $text (call $string_attribute (global.get $tenant) (i32.const 4)))
    (if (i32.ne (i32.const 4)
          (call $baggage_get (call $at (global.get $tenant)) (local.get $text) ((;p;)i32.const 4)))
      (then (unreachable)))
    (call $set (local.get $span) ((;p;)i32.add (local.get $text) ((;p;)i32.const 4)))

    (call $exit_and_end (local.get $span)))

  (func $hex_digit (param $value i32) (result i32)
    (i32.add (local.get $value)
      (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $value) (i32.const 10)))))

  (func (export "unicode")
    (call $span_end (call $start (global.get $spaen) (i64.const 0) (i32.const 0) (global.get $with.unicode)))
    (call $say (i32.const 9) (global.get $japanese) (global.get $none)))

  (func (export "limits")
    (local $text (;p;)i32)
    (local $at (;p;)i32)
    (local $number i32)
    (local $digits i32)
    (memory.fill (global.get $scratch) (i32.const 120) ((;p;)i32.const 70000))
    (call $log
      (call $callsite (call $at (global.get $site.log)))
      (i32.const 9) (i64.const 0) (global.get $scratch) ((;p;)i32.const 70000) (call $at (global.get $none)))

    (local.set $text (call $string_attribute (global.get $long) (i32.const 20000)))
    (memory.fill (local.get $text) (i32.const 121) ((;p;)i32.const 20000))
    (call $span_end
      (call $span_start
        (i32.const 0) (call $at (global.get $limits)) (i64.const 0) (i32.const 0)
        (global.get $scratch)
        ((;p;)i32.sub ((;p;)i32.add (local.get $text) ((;p;)i32.const 20000)) (global.get $scratch))))

    ;; 130 attributes: u16 length of the key, "a" and one to three digits, 3, i64.
    (local.set $at (global.get $scratch))
    (loop $next
      (local.set $digits
        (i32.add (i32.const 1)
          (i32.add (i32.ge_u (local.get $number) (i32.const 10)) (i32.ge_u (local.get $number) (i32.const 100)))))
      (i32.store16 (local.get $at) (i32.add (local.get $digits) (i32.const 1)))
      (i32.store8 offset=2 (local.get $at) (i32.const 97))
      (local.set $at ((;p;)i32.add (local.get $at) ((;p;)i32.const 3)))
      (if (i32.eq (local.get $digits) (i32.const 3))
        (then
          (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.div_u (local.get $number) (i32.const 100))))
          (local.set $at ((;p;)i32.add (local.get $at) ((;p;)i32.const 1)))))
      (if (i32.ge_u (local.get $digits) (i32.const 2))
        (then
          (i32.store8 (local.get $at)
            (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get $number) (i32.const 10)) (i32.const 10))))
          (local.set $at ((;p;)i32.add (local.get $at) ((;p;)i32.const 1)))))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
      (i32.store8 offset=1 (local.get $at) (i32.const 3))
      (i64.store offset=2 (local.get $at) (i64.extend_i32_u (local.get $number)))
      (local.set $at ((;p;)i32.add (local.get $at) ((;p;)i32.const 10)))
      (local.set $number (i32.add (local.get $number) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $number) (i32.const 130))))
    (call $span_end
      (call $span_start
        (i32.const 0) (call $at (global.get $many)) (i64.const 0) (i32.const 0)
        (global.get $scratch) ((;p;)i32.sub (local.get $at) (global.get $scratch)))))

  (func (export "trap")
    (call $span_enter (call $start (global.get $doomed) (i64.const 0) (i32.const 0) (global.get $none)))
    (call $say (i32.const 13) (global.get $about_to_fail) (global.get $none))
    (call $exception (i64.const 0) (global.get $panic) (global.get $boom) (global.get $none))
    (unreachable))

  (func (export "open_span")
    (call $span_enter (call $start (global.get $left_open) (i64.const 0) (i32.const 0) (global.get $none))))
)
