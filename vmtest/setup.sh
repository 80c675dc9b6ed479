#!/bin/sh
# Fetches what the tests on virtual machines need: QEMU 10 and cpio are installed, guest kernels are
# only unpacked into a cache folder. Quick when everything is there already.
#
#	setup.sh CACHE [hibernate]
#
# With "hibernate" also a kernel that can hibernate, which is larger.
#
# When it fails this machine cannot have it, and the last line of the output is the reason.
#
# The suites are read from the mirror that the machine's own apt sources name, in apt folders of our
# own under CACHE: the machine's sources, lists and preferences stay as they are.
set -eu

cache=$1
extra=${2:-}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

cannot() {
	echo "$*"
	exit 1
}

have_qemu() {
	# 10.0 is the first with -device vmclock.
	for arch in x86_64 aarch64; do
		major=$(qemu-system-$arch --version 2>/dev/null | sed -n '1s/.*version \([0-9]*\)\..*/\1/p')
		[ "${major:-0}" -ge 10 ] || return 1
	done
	command -v qemu-img cpio >/dev/null
}

have_kernels() {
	for dir in 6.12-amd64 newest-amd64 newest-arm64 ${extra:+hibernate-amd64}; do
		[ -e "$cache/kernels/$dir/complete" ] || return 1
	done
}

if have_qemu && have_kernels; then
	exit 0
fi

command -v apt-get >/dev/null || cannot "no apt-get here, and QEMU 10 or the guest kernels are missing"
. /etc/os-release
case ${VERSION_CODENAME:-} in
bookworm | trixie) ;;
*) cannot "QEMU 10 and the guest kernels are fetched on Debian 12 and 13 only, this is ${PRETTY_NAME:-unknown}" ;;
esac
[ -r $keyring ] || cannot "$keyring is missing: install debian-archive-keyring"

# The mirror, whatever the format of the files that name it. apt names only what it has downloaded.
mirror() {
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk -v suite="$VERSION_CODENAME" '$1 == suite && $2 == "main" { print $3; exit }'
}
uri=$(mirror)
if [ -z "$uri" ]; then
	[ "$(id -u)" = 0 ] && apt-get -q update
	uri=$(mirror)
fi
[ -n "$uri" ] || cannot "the apt sources of this machine name no mirror of $VERSION_CODENAME main"

# apt_in FOLDER ARCH COMMAND...: a command of apt with sources and lists of its own.
apt_in() {
	folder=$cache/apt/$1
	arch=$2
	shift 2
	command=$1
	shift
	"$command" -q \
		-o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
		-o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache" \
		-o APT::Architecture="$arch" -o APT::Architectures::="$arch" \
		-o APT::Sandbox::User=root -o DPkg::Lock::Timeout=300 "$@"
}

# lists FOLDER ARCH SUITE...: writes the sources and fetches the lists.
lists() {
	folder=$cache/apt/$1
	arch=$2
	name=$1
	shift 2
	mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
	for suite in "$@"; do
		echo "deb [arch=$arch signed-by=$keyring] $uri $suite main"
	done >"$folder/sources.list"
	apt_in "$name" "$arch" apt-get update
}

if ! have_qemu; then
	[ "$(id -u)" = 0 ] || cannot "QEMU 10 and cpio are missing, and only root can install them"
	# trixie has 10.0 itself.
	case $VERSION_CODENAME in
	bookworm) suites="bookworm bookworm-backports" from=bookworm-backports ;;
	trixie) suites="trixie" from=trixie ;;
	esac
	arch=$(dpkg --print-architecture)
	lists host "$arch" $suites
	DEBIAN_FRONTEND=noninteractive apt_in host "$arch" apt-get -y --no-install-recommends -t $from install \
		qemu-system-x86 qemu-system-arm qemu-utils cpio
	apt_in host "$arch" apt-get clean
	have_qemu || cannot "the mirror's QEMU is older than 10.0"
fi

# newest FOLDER ARCH PATTERN: the name of the newest package that the whole of PATTERN fits.
newest() {
	apt_in "$1" "$2" apt-cache search --names-only "^$3\$" | cut -d' ' -f1 | grep -v -e '-rc' -e '~rc' | sort -V | tail -n1
}

# kernel NAME FOLDER ARCH PACKAGE...: unpacks a kernel into kernels/NAME: vmlinuz and the modules
# named in $modules, decompressed.
kernel() {
	dir=$cache/kernels/$1
	folder=$2
	arch=$3
	shift 3
	rm -rf "$dir" "$cache/unpack"
	mkdir -p "$dir" "$cache/unpack"
	(cd "$cache/unpack" && apt_in "$folder" "$arch" apt-get download "$@")
	for deb in "$cache"/unpack/*.deb; do
		dpkg -x "$deb" "$cache/unpack/root"
	done
	# In /boot up to 6.x, beside the modules since.
	find "$cache/unpack/root" -type f -name 'vmlinuz*' -exec cp {} "$dir/vmlinuz" ';'
	for module in $modules; do
		file=$(find "$cache/unpack/root" -name "$module.ko*")
		case $file in
		*.xz) xz -dc "$file" >"$dir/$module.ko" ;;
		*.ko) cp "$file" "$dir/$module.ko" ;;
		*) ;; # built into the kernel, or not there: the guest says which signals it has
		esac
	done
	echo "$*" >"$dir/complete"
	rm -rf "$cache/unpack"
}

if ! have_kernels; then
	command -v xz >/dev/null || cannot "xz is missing: install xz-utils"
	for arch in amd64 arm64; do
		lists guest-$arch $arch bookworm-backports trixie-backports
		version=$(newest guest-$arch $arch "linux-binary-[0-9].*-cloud-$arch" | sed 's/^linux-binary-//')
		[ -n "$version" ] || cannot "the mirror has no linux-binary-*-cloud-$arch"
		modules=ptp_vmclock kernel newest-$arch guest-$arch $arch linux-binary-$version linux-modules-$version
	done
	image=$(newest guest-amd64 amd64 'linux-image-6\.12\..*-cloud-amd64')
	[ -n "$image" ] || cannot "the mirror has no linux-image-6.12.*-cloud-amd64"
	modules=ptp_vmclock kernel 6.12-amd64 guest-amd64 amd64 "$image"
	if [ -n "$extra" ]; then
		version=$(newest guest-amd64 amd64 'linux-binary-[0-9.]*[+]deb[0-9]*-amd64' | sed 's/^linux-binary-//')
		modules=virtio_blk \
			kernel hibernate-amd64 guest-amd64 amd64 linux-binary-$version linux-modules-$version
	fi
fi
