#!/bin/sh
# Vets what users build, and its tests, for every port of `go tool dist list`.
#
# No port is skipped. android (but for arm64) and ios are ports that the go command
# only vets with a C compiler of their own; there the package is compiled.
set -u
cd "$(dirname "$0")/.."
failed=0
for port in $(go tool dist list); do
	case $port in
	android/arm64) check='vet . ./cmd/... ./internal/goroot' ;;
	android/* | ios/*) check='build .' ;;
	*) check='vet . ./cmd/... ./internal/goroot' ;;
	esac
	if ! out=$(CGO_ENABLED=0 GOOS=${port%/*} GOARCH=${port#*/} go $check 2>&1); then
		printf '%s:\n%s\n' "$port" "$out" >&2
		failed=1
	fi
done
exit $failed
