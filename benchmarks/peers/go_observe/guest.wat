;; Spans by observe-sdk's API, as often as the exports' parameter says.
(module $guest
  (import "dylibso:observe/api" "span-enter" (func $enter (param i32 i32)))
  (import "dylibso:observe/api" "span-exit" (func $exit))
  (import "dylibso:observe/api" "span-tags" (func $tags (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0x100) "GET /orders")
  (data (i32.const 0x120) "method:GET,route:/orders,status:200,cached:true")

  (func $span (export "span") (param $n i32)
    (loop $next
      (call $enter (i32.const 0x100) (i32.const 11))
      (call $exit)
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  ;; Four tags are what comes nearest to four attributes.
  (func $span_tags (export "span_tags") (param $n i32)
    (loop $next
      (call $enter (i32.const 0x100) (i32.const 11))
      (call $tags (i32.const 0x120) (i32.const 47))
      (call $exit)
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
