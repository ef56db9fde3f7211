;; Somebody's plugin, as it is: the length of the walk that the Collatz rule takes from a number to 1.
(module $collatz
  (func (export "steps") (param $n i64) (result i32)
    (local $steps i32)
    (if (i64.le_s (local.get $n) (i64.const 0)) (then unreachable))
    (block $done
      (loop $next
        (br_if $done (i64.eq (local.get $n) (i64.const 1)))
        (local.set $n
          (if (result i64) (i64.eqz (i64.and (local.get $n) (i64.const 1)))
            (then (i64.shr_u (local.get $n) (i64.const 1)))
            (else (i64.add (i64.mul (local.get $n) (i64.const 3)) (i64.const 1)))))
        (local.set $steps (i32.add (local.get $steps) (i32.const 1)))
        (br $next)))
    (local.get $steps)))
