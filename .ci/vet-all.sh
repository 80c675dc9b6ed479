#!/bin/sh
# Vets what users build, and its tests, for every port of `go tool dist list`.
#
# No port is skipped. android (but for arm64) and ios are ports that the go command
# only takes with cgo; this module has none, so no C compiler is run for them, and
# CC only has to be the name of something.
set -u
cd "$(dirname "$0")/.."
failed=0
for port in $(go tool dist list); do
	os=${port%/*} arch=${port#*/} cgo=0 cc=
	case $port in
	android/arm64) ;;
	android/* | ios/*) cgo=1 cc=true ;;
	esac
	if ! out=$(CGO_ENABLED=$cgo CC=$cc GOOS=$os GOARCH=$arch go vet . ./cmd/... 2>&1); then
		printf '%s:\n%s\n' "$port" "$out" >&2
		failed=1
	fi
done
exit $failed
