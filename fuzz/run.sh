#!/usr/bin/env bash
# Runs every target, or those that are named, for SECONDS_EACH seconds. What it finds is in fuzz/artifacts, and is an error at
# the end.
set -euo pipefail
cd "$(dirname "$0")"

targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(model json_model store condition tuples decision certificate proxy_header request signature message graphql proxy)
# What cargo-fuzz sets, without the sanitizer, which would need a nightly compiler. There is no unsafe code to watch.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
target_dir=${CARGO_TARGET_DIR:-target}/fuzz
cargo build --release --target-dir "$target_dir" --target "$(rustc -vV | sed -n 's/^host: //p')"
found=()
for target in "${targets[@]}"; do
  echo "== $target"
  mkdir -p "corpus/$target" "artifacts/$target"
  dictionary=()
  [ -f "dictionaries/$target.dict" ] && dictionary=("-dict=dictionaries/$target.dict")
  "$target_dir"/*/release/"$target" "corpus/$target" $([ -d "seeds/$target" ] && echo "seeds/$target") "${dictionary[@]}" \
    -max_total_time="${SECONDS_EACH:-60}" -artifact_prefix="artifacts/$target/" -timeout=10 -rss_limit_mb=2048 \
    -max_len=2000 -print_final_stats=1 -verbosity=1 2>&1 | tail -n 40 || found+=("$target")
done
[ ${#found[@]} -eq 0 ] || { echo "findings in: ${found[*]}" >&2; exit 1; }
