#!/usr/bin/env bash
# Builds the release twice: a first one that counts what it does under the load of `train`, and by those counts the one to
# use (profile-guided optimization). The last line of the output is the folder of its binaries. For another target:
#   CARGO_BUILD_TARGET=x86_64-unknown-linux-musl bench/release.sh
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_BUILD_TARGET:-$host}
folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")
merge=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
if [ ! -x "$merge" ]; then
  rustup component add llvm-tools >&2 || {
    echo "no llvm-profdata: install Rust's component llvm-tools, or use what \`cargo build --release\` builds" >&2
    exit 1
  }
fi

# The names of functions must be the same in both, so both are built alike.
build() {
  RUSTFLAGS="${RUSTFLAGS-} $2" cargo build --release --locked --target "$target" --target-dir "$folder/$1" \
    -p portcullis -p portcullis-bench >&2
}

build counting "-Cprofile-generate=$folder/counts"
counting=$folder/counting/$target/release
# Cargo does not see what is in a profile, only its name: so there is one for each build that it was made with.
profile=$folder/$(cat "$counting/portcullis" "$counting/portcullis-bench" | sha256sum | cut -c1-16).profdata
if [ ! -s "$profile" ]; then
  rm -rf "$folder/counts"
  "$counting/portcullis-bench" train >&2
  "$merge" merge -o "$profile" "$folder/counts"
fi
# What is busy, what is not and what the profile has not seen lie apart: fewer pages of code are in memory.
build trained "-Cprofile-use=$profile -Clink-arg=-Wl,-z,keep-text-section-prefix"
echo "$folder/trained/$target/release"
