#!/usr/bin/env bash
# Runs the tests on other CPUs, in user-mode emulation (Debian's qemu-user-static).
#
#   bash .ci/emulated.sh                 arm64 and s390x, which is big-endian
#   bash .ci/emulated.sh riscv64 ppc64   any others that both Go and QEMU have
#
# 386 needs no emulator on amd64: GOARCH=386 go test ./...
# Windows under wine: see docs/fork.md.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- arm64 s390x

# QEMU's names, where they are not Go's.
emulator() {
	case $1 in
	386) echo qemu-i386-static ;;
	amd64) echo qemu-x86_64-static ;;
	arm64) echo qemu-aarch64-static ;;
	loong64) echo qemu-loongarch64-static ;;
	mips64le) echo qemu-mips64el-static ;;
	mipsle) echo qemu-mipsel-static ;;
	*) echo "qemu-$1-static" ;;
	esac
}

if ! command -v "$(emulator "$1")" >/dev/null; then
	DEBIAN_FRONTEND=noninteractive apt-get -q update
	DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends qemu-user-static
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
for arch in "$@"; do
	qemu=$(command -v "$(emulator "$arch")")
	# What ./soak runs are programs that it has built for this machine.
	for package in . ./cmd/clonerand; do
		start=$SECONDS
		CGO_ENABLED=0 GOARCH=$arch go test -c -o "$dir/$arch.test" "$package"
		built=$SECONDS
		# Tests look for testdata beside them. KILL ends a child that hangs, too.
		(cd "$package" && CLONERAND_TEST_EMULATOR=$qemu timeout -s KILL 240 \
			"$qemu" "$dir/$arch.test" -test.short -test.timeout 230s ${EMULATED_FLAGS:-}) || failed=1
		echo "$arch $package: built in $((built - start)) s, run in $((SECONDS - built)) s"
	done
done
exit $failed
