#!/usr/bin/env bash
# Fails when a ratio of the speed table is missed by more than 30 % in three tries.
# The ratio to frand is measured by the nested module, which has it as a dependency.
set -euo pipefail
cd "$(dirname "$0")/.."
go test -run '^$' -bench '^BenchmarkGuard$' -benchtime 1x .
# What the hook of a patched standard library costs, in a patched program.
go run ./cmd/clonerand go test -run '^$' -bench '^BenchmarkWholeGuard$' -benchtime 1x .
