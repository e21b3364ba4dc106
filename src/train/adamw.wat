;; Owns the inner loops of AdamW, in WebAssembly text; adamw-kernel.ts calls them. `npx tsx
;; tools/kernel.ts` makes adamw-wasm.ts of it. Every operation is an IEEE one in f32, in the order of
;; the graph in optimizer.ts, so both give the same bits.
(module
  (memory (export "memory") 2)

  ;; Updates $count (a multiple of four, not zero) weights and moments in place.
  (func (export "update")
    (param $weights i32) (param $first i32) (param $second i32) (param $gradients i32)
    (param $count i32)
    (param $gradientScale f32) (param $beta1 f32) (param $rest1 f32) (param $beta2 f32)
    (param $rest2 f32) (param $correction f32) (param $epsilon f32) (param $stepSize f32)
    (param $decay f32)
    (local $end i32) (local $g v128) (local $m v128) (local $v v128)
    (local.set $end (i32.add (local.get $weights) (i32.shl (local.get $count) (i32.const 2))))
    (loop $next
      (local.set $g
        (f32x4.mul (v128.load (local.get $gradients)) (f32x4.splat (local.get $gradientScale))))
      (local.set $m
        (f32x4.add
          (f32x4.mul (v128.load (local.get $first)) (f32x4.splat (local.get $beta1)))
          (f32x4.mul (local.get $g) (f32x4.splat (local.get $rest1)))))
      (local.set $v
        (f32x4.add
          (f32x4.mul (v128.load (local.get $second)) (f32x4.splat (local.get $beta2)))
          (f32x4.mul
            (f32x4.mul (local.get $g) (local.get $g)) (f32x4.splat (local.get $rest2)))))
      (v128.store (local.get $first) (local.get $m))
      (v128.store (local.get $second) (local.get $v))
      (v128.store (local.get $weights)
        (f32x4.sub
          (f32x4.mul (v128.load (local.get $weights)) (f32x4.splat (local.get $decay)))
          (f32x4.div
            (f32x4.mul (local.get $m) (f32x4.splat (local.get $stepSize)))
            (f32x4.add
              (f32x4.mul (f32x4.sqrt (local.get $v)) (f32x4.splat (local.get $correction)))
              (f32x4.splat (local.get $epsilon))))))
      (local.set $weights (i32.add (local.get $weights) (i32.const 16)))
      (local.set $first (i32.add (local.get $first) (i32.const 16)))
      (local.set $second (i32.add (local.get $second) (i32.const 16)))
      (local.set $gradients (i32.add (local.get $gradients) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $weights) (local.get $end)))))

  ;; The sum of the squares of $count numbers (a multiple of four, not zero), in f64.
  (func (export "sumOfSquares") (param $at i32) (param $count i32) (result f64)
    (local $end i32) (local $x v128) (local $low v128) (local $high v128)
    (local $sumLow v128) (local $sumHigh v128)
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $count) (i32.const 2))))
    (loop $next
      (local.set $x (v128.load (local.get $at)))
      (local.set $low (f64x2.promote_low_f32x4 (local.get $x)))
      (local.set $high
        (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15
            (local.get $x) (local.get $x))))
      (local.set $sumLow
        (f64x2.add (local.get $sumLow) (f64x2.mul (local.get $low) (local.get $low))))
      (local.set $sumHigh
        (f64x2.add (local.get $sumHigh) (f64x2.mul (local.get $high) (local.get $high))))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    (local.set $sumLow (f64x2.add (local.get $sumLow) (local.get $sumHigh)))
    (f64.add
      (f64x2.extract_lane 0 (local.get $sumLow)) (f64x2.extract_lane 1 (local.get $sumLow)))))
