#!/usr/bin/env bash
# Fails when a row of the speed table misses its limit three times, here or beside frand,
# which is a dependency of the nested module alone.
set -euo pipefail
cd "$(dirname "$0")/.."
go test -run '^$' -bench '^BenchmarkGuard$' -benchtime 1x .
# What the hook of a patched standard library costs, in a patched program.
go run ./cmd/clonerand go test -run '^$' -bench '^BenchmarkWholeGuard$' -benchtime 1x .
cd bench/compare
go run . -check
