package rand

// inheritZero is INHERIT_ZERO of FreeBSD's sys/sys/mman.h (FreeBSD 12). Its 3 is
// another thing, and refused, on NetBSD.
const inheritZero = 3
