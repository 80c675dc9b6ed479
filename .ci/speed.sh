#!/usr/bin/env bash
# Fails when a ratio of the speed table is missed by more than 30 % in three tries.
# The ratio to frand is measured by the nested module, which has it as a dependency.
set -euo pipefail
cd "$(dirname "$0")/.."
go test -run '^$' -bench '^BenchmarkGuard$' -benchtime 1x .
