#!/usr/bin/env bash
# Installs what the tests use besides Go, where this is a Debian machine and we are
# root. Without a package its tests are skipped by name, but not when CI is set.
set -euo pipefail
packages=(gcc gdb libc6-dev strace libmbedtls-dev libssl-dev pkg-config cpio ent rng-tools5 dieharder qemu-user-static xz-utils)
missing=()
for p in "${packages[@]}"; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q update
	apt-get -q install -y --no-install-recommends "${missing[@]}"
fi
