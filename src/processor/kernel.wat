;; Owns the inner loops of picture preprocessing, in WebAssembly text; kernel.ts calls them.
;; `npx tsx tools/kernel.ts` makes kernel-wasm.ts of it. The innermost loops call no functions, which
;; V8 does not inline: calls there made resampleWidth five times slower.
;;
;; Sums are 32-bit integers, as Pillow's are: bytes times 22-bit fixed-point weights, one half
;; added, shifted back, clamped to 0..255. A vector holds four sums.
;;
;; Records say how one axis is resampled. Output i has a record of $record 32-bit integers: its
;; first input, its number of taps (1 or more), then a weight for each tap.
(module
  (memory (export "memory") 1)

  ;; One half of the fixed point, four times.
  (global $half v128 (v128.const i32x4 0x200000 0x200000 0x200000 0x200000))

  ;; Sixteen sums as sixteen bytes; both narrowings clamp.
  (func $toBytes
    (param $a v128) (param $b v128) (param $c v128) (param $d v128) (result v128)
    (i8x16.narrow_i16x8_u
      (i16x8.narrow_i32x4_s
        (i32x4.shr_s (local.get $a) (i32.const 22)) (i32x4.shr_s (local.get $b) (i32.const 22)))
      (i16x8.narrow_i32x4_s
        (i32x4.shr_s (local.get $c) (i32.const 22)) (i32x4.shr_s (local.get $d) (i32.const 22)))))

  ;; Resamples the width of $rows rows of RGB (a multiple of four: four rows go side by side, so
  ;; that a weight is loaded once for them). A pixel is stored as four bytes, of which the next
  ;; one overwrites the last; so a row of the output takes a byte more than its pixels.
  (func (export "resampleWidth")
    (param $from i32) (param $fromStride i32) (param $to i32) (param $toStride i32)
    (param $rows i32) (param $records i32) (param $record i32) (param $width i32)
    (local $twoStrides i32) (local $threeStrides i32) (local $here i32) (local $x i32)
    (local $at i32) (local $tap i32) (local $end i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128) (local $weight v128)
    (local.set $twoStrides (i32.shl (local.get $fromStride) (i32.const 1)))
    (local.set $threeStrides (i32.add (local.get $twoStrides) (local.get $fromStride)))
    (loop $nextRows
      (local.set $here (local.get $records))
      (local.set $x (i32.const 0))
      (loop $nextPixel
        (local.set $at
          (i32.add (local.get $from) (i32.mul (i32.load (local.get $here)) (i32.const 3))))
        (local.set $tap (i32.add (local.get $here) (i32.const 8)))
        (local.set $end
          (i32.add (local.get $tap) (i32.shl (i32.load offset=4 (local.get $here)) (i32.const 2))))
        (local.set $a (global.get $half))
        (local.set $b (global.get $half))
        (local.set $c (global.get $half))
        (local.set $d (global.get $half))
        (loop $nextTap
          (local.set $weight (v128.load32_splat (local.get $tap)))
          (local.set $a (i32x4.add (local.get $a)
            (i32x4.mul (local.get $weight) (i32x4.extend_low_i16x8_u (i16x8.extend_low_i8x16_u
              (v128.load32_zero (local.get $at)))))))
          (local.set $b (i32x4.add (local.get $b)
            (i32x4.mul (local.get $weight) (i32x4.extend_low_i16x8_u (i16x8.extend_low_i8x16_u
              (v128.load32_zero (i32.add (local.get $at) (local.get $fromStride))))))))
          (local.set $c (i32x4.add (local.get $c)
            (i32x4.mul (local.get $weight) (i32x4.extend_low_i16x8_u (i16x8.extend_low_i8x16_u
              (v128.load32_zero (i32.add (local.get $at) (local.get $twoStrides))))))))
          (local.set $d (i32x4.add (local.get $d)
            (i32x4.mul (local.get $weight) (i32x4.extend_low_i16x8_u (i16x8.extend_low_i8x16_u
              (v128.load32_zero (i32.add (local.get $at) (local.get $threeStrides))))))))
          (local.set $at (i32.add (local.get $at) (i32.const 3)))
          (local.set $tap (i32.add (local.get $tap) (i32.const 4)))
          (br_if $nextTap (i32.lt_u (local.get $tap) (local.get $end))))
        (local.set $a
          (call $toBytes (local.get $a) (local.get $b) (local.get $c) (local.get $d)))
        (local.set $at (i32.add (local.get $to) (i32.mul (local.get $x) (i32.const 3))))
        (v128.store32_lane 0 (local.get $at) (local.get $a))
        (local.set $at (i32.add (local.get $at) (local.get $toStride)))
        (v128.store32_lane 1 (local.get $at) (local.get $a))
        (local.set $at (i32.add (local.get $at) (local.get $toStride)))
        (v128.store32_lane 2 (local.get $at) (local.get $a))
        (local.set $at (i32.add (local.get $at) (local.get $toStride)))
        (v128.store32_lane 3 (local.get $at) (local.get $a))
        (local.set $here (i32.add (local.get $here) (i32.shl (local.get $record) (i32.const 2))))
        (local.set $x (i32.add (local.get $x) (i32.const 1)))
        (br_if $nextPixel (i32.lt_u (local.get $x) (local.get $width))))
      (local.set $from
        (i32.add (local.get $from) (i32.shl (local.get $fromStride) (i32.const 2))))
      (local.set $to (i32.add (local.get $to) (i32.shl (local.get $toStride) (i32.const 2))))
      (local.set $rows (i32.sub (local.get $rows) (i32.const 4)))
      (br_if $nextRows (i32.gt_s (local.get $rows) (i32.const 0)))))

  ;; Resamples the height: makes $rows rows of $length bytes, one behind the other. $from is where
  ;; input row 0 lies, or would lie if it were still kept. Sixteen bytes go at once, so that up to
  ;; fifteen bytes behind an input row are read and behind the output are written, for nothing.
  (func (export "resampleHeight")
    (param $from i32) (param $fromStride i32) (param $to i32) (param $length i32)
    (param $rows i32) (param $records i32) (param $record i32)
    (local $first i32) (local $x i32) (local $at i32) (local $tap i32) (local $end i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $weight v128) (local $bytes v128) (local $low v128) (local $high v128)
    (loop $nextRow
      (local.set $first (i32.add (local.get $from)
        (i32.mul (i32.load (local.get $records)) (local.get $fromStride))))
      (local.set $end (i32.add (i32.add (local.get $records) (i32.const 8))
        (i32.shl (i32.load offset=4 (local.get $records)) (i32.const 2))))
      (local.set $x (i32.const 0))
      (loop $nextBytes
        (local.set $a (global.get $half))
        (local.set $b (global.get $half))
        (local.set $c (global.get $half))
        (local.set $d (global.get $half))
        (local.set $at (i32.add (local.get $first) (local.get $x)))
        (local.set $tap (i32.add (local.get $records) (i32.const 8)))
        (loop $nextTap
          (local.set $weight (v128.load32_splat (local.get $tap)))
          (local.set $bytes (v128.load (local.get $at)))
          (local.set $low (i16x8.extend_low_i8x16_u (local.get $bytes)))
          (local.set $high (i16x8.extend_high_i8x16_u (local.get $bytes)))
          (local.set $a (i32x4.add (local.get $a)
            (i32x4.mul (local.get $weight) (i32x4.extend_low_i16x8_u (local.get $low)))))
          (local.set $b (i32x4.add (local.get $b)
            (i32x4.mul (local.get $weight) (i32x4.extend_high_i16x8_u (local.get $low)))))
          (local.set $c (i32x4.add (local.get $c)
            (i32x4.mul (local.get $weight) (i32x4.extend_low_i16x8_u (local.get $high)))))
          (local.set $d (i32x4.add (local.get $d)
            (i32x4.mul (local.get $weight) (i32x4.extend_high_i16x8_u (local.get $high)))))
          (local.set $at (i32.add (local.get $at) (local.get $fromStride)))
          (local.set $tap (i32.add (local.get $tap) (i32.const 4)))
          (br_if $nextTap (i32.lt_u (local.get $tap) (local.get $end))))
        (v128.store (i32.add (local.get $to) (local.get $x))
          (call $toBytes (local.get $a) (local.get $b) (local.get $c) (local.get $d)))
        (local.set $x (i32.add (local.get $x) (i32.const 16)))
        (br_if $nextBytes (i32.lt_u (local.get $x) (local.get $length))))
      (local.set $to (i32.add (local.get $to) (local.get $length)))
      (local.set $records
        (i32.add (local.get $records) (i32.shl (local.get $record) (i32.const 2))))
      (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
      (br_if $nextRow (local.get $rows))))

  ;; Writes one patch: the values of its levels by channel, frame, row, column. The values of the
  ;; 256 red levels lie at address 0, then those of green and blue, all float32.
  (func (export "cutPatch")
    (param $from i32) (param $stride i32) (param $to i32) (param $side i32) (param $frames i32)
    (local $frame i32) (local $channel i32) (local $red i32) (local $green i32) (local $blue i32)
    (local $at i32) (local $end i32) (local $row i32)
    (local.set $frame
      (i32.shl (i32.mul (local.get $side) (local.get $side)) (i32.const 2)))
    (local.set $channel (i32.mul (local.get $frame) (local.get $frames)))
    (local.set $red (local.get $to))
    (local.set $green (i32.add (local.get $red) (local.get $channel)))
    (local.set $blue (i32.add (local.get $green) (local.get $channel)))
    (local.set $row (local.get $side))
    (loop $nextRow
      (local.set $at (local.get $from))
      (local.set $end (i32.add (local.get $at) (i32.mul (local.get $side) (i32.const 3))))
      (loop $nextPixel
        (f32.store (local.get $red)
          (f32.load (i32.shl (i32.load8_u (local.get $at)) (i32.const 2))))
        (f32.store (local.get $green)
          (f32.load offset=1024 (i32.shl (i32.load8_u offset=1 (local.get $at)) (i32.const 2))))
        (f32.store (local.get $blue)
          (f32.load offset=2048 (i32.shl (i32.load8_u offset=2 (local.get $at)) (i32.const 2))))
        (local.set $red (i32.add (local.get $red) (i32.const 4)))
        (local.set $green (i32.add (local.get $green) (i32.const 4)))
        (local.set $blue (i32.add (local.get $blue) (i32.const 4)))
        (local.set $at (i32.add (local.get $at) (i32.const 3)))
        (br_if $nextPixel (i32.lt_u (local.get $at) (local.get $end))))
      (local.set $from (i32.add (local.get $from) (local.get $stride)))
      (local.set $row (i32.sub (local.get $row) (i32.const 1)))
      (br_if $nextRow (local.get $row)))
    ;; $red, $green and $blue stand behind the first frames of their channels.
    (loop $nextFrame
      (local.set $frames (i32.sub (local.get $frames) (i32.const 1)))
      (if (local.get $frames)
        (then
          (memory.copy (local.get $red)
            (i32.sub (local.get $red) (local.get $frame)) (local.get $frame))
          (memory.copy (local.get $green)
            (i32.sub (local.get $green) (local.get $frame)) (local.get $frame))
          (memory.copy (local.get $blue)
            (i32.sub (local.get $blue) (local.get $frame)) (local.get $frame))
          (local.set $red (i32.add (local.get $red) (local.get $frame)))
          (local.set $green (i32.add (local.get $green) (local.get $frame)))
          (local.set $blue (i32.add (local.get $blue) (local.get $frame)))
          (br $nextFrame))))))
