#!/usr/bin/env bash
# What a held token costs: `broker token` beside a Rust hello world and `cat` of the record, in one run on one
# machine. Prints a table and keeps the figures as JSON. Needs hyperfine and GNU time (Debian's packages).
#   tests/bench/warm.sh [RUNS]
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=${1:-500}
out=${CARGO_TARGET_DIR:-target}/bench
mkdir -p "$out"

for tool in hyperfine /usr/bin/time; do
  command -v "$tool" >/dev/null || { apt-get update -qq && apt-get install -qqy hyperfine time >/dev/null; }
done

cargo build --release --quiet --package broker-cli
broker=${CARGO_TARGET_DIR:-target}/release/broker
printf 'fn main() {\n    println!("hello");\n}\n' >"$out/hello.rs"
rustc -O -C strip=symbols -o "$out/hello" "$out/hello.rs"

# A record as a login leaves it, held for a day from now.
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
now=$(date -u +%FT%TZ) end=$(date -u -d '+1 day' +%FT%TZ)
secret=$(head -c 600 /dev/urandom | base64 -w 0 | tr '+/' '-_')
cat >"$state/earthscope.json" <<JSON
{"version":1,"provider":"earthscope","issuer":{"kind":"earthscope","flow":"device_code",
"endpoint":"https://login.earthscope.org/oauth/token","client_id":"b9DtAFBd6QvMg761vI3YhYquNZbJX5G0",
"audience":"https://api.earthscope.org"},"account":"ada@example.org",
"grant":{"secret":"a-refresh-token","issued_at":"$now"},
"tokens":{"":{"secret":"$secret","token_type":"Bearer","issued_at":"$now","expires_at":"$end"}}}
JSON
export BROKER_STATE_DIR=$state HOME=$state
[ "$("$broker" token earthscope)" = "$secret" ] || { echo "the held token was not printed" >&2; exit 1; }

hyperfine --shell=none --warmup 50 --runs "$runs" --export-json "$out/warm.json" \
  --command-name 'broker token' "$broker token earthscope" \
  --command-name 'hello world' "$out/hello" \
  --command-name 'cat record' "cat $state/earthscope.json" >/dev/null 2>&1

memory() { /usr/bin/time -f %M "$@" 2>&1 >/dev/null; }
python3 - "$out/warm.json" "$(memory "$broker" token earthscope)" "$(memory "$out/hello")" "$(stat -c %s "$broker")" <<'PY'
import json, sys
results = {r["command"]: r for r in json.load(open(sys.argv[1]))["results"]}
hello = results["hello world"]["median"]
print(f"{'':14}{'median':>10}{'min':>10}{'beside hello':>14}")
for name, r in results.items():
    print(f"{name:14}{r['median']*1e3:>8.2f}ms{r['min']*1e3:>8.2f}ms{r['median']/hello:>13.2f}x")
print(f"peak memory: broker {int(sys.argv[2])/1024:.1f} MiB, hello world {int(sys.argv[3])/1024:.1f} MiB")
print(f"binary: {int(sys.argv[4])/1e6:.1f} MB")
PY
