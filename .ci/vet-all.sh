#!/usr/bin/env bash
# Vets the package and its tests for every port of `go tool dist list`, as many at a time as there are CPUs, and builds
# all else for one port of each kind.
#
# bash .ci/vet-all.sh      every port: 8 minutes on 2 CPUs with an empty build cache
# bash .ci/vet-all.sh 4    each fourth, beginning at another one with each commit, and the one of each kind
#
# No port is skipped for good. android (but for arm64) and ios are ports that the go command
# only vets with a C compiler of their own; there the package is compiled.
set -u
cd "$(dirname "$0")/.."

vet() {
	case $1 in
	android/arm64) check='vet .' ;;
	android/* | ios/*) check='build .' ;;
	*) check='vet .' ;;
	esac
	case $1 in
	linux/arm64 | windows/amd64 | darwin/arm64 | freebsd/amd64 | aix/ppc64 | js/wasm | plan9/amd64) # each of kinds below
		check="$check ./cmd/... ./internal/... ./vmtest"
		;;
	esac
	out=$(CGO_ENABLED=0 GOOS=${1%/*} GOARCH=${1#*/} go $check 2>&1) && return
	printf '%s:\n%s\n' "$1" "$out" >&2
	return 1
}
export -f vet

kinds='linux/arm64 windows/amd64 darwin/arm64 freebsd/amd64 aix/ppc64 js/wasm plan9/amd64'
every=${1:-1}
first=$(($(git rev-list --count HEAD) % every))
{
	printf '%s\n' $kinds
	go tool dist list | awk -v every="$every" -v first="$first" 'NR % every == first'
} | sort -u | xargs -P "$(nproc)" -I{} bash -c 'vet {}'
