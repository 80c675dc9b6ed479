package rand

// inheritZero is MAP_INHERIT_ZERO of NetBSD's sys/sys/mman.h. 3 is
// MAP_INHERIT_DONATE_COPY there, which the kernel refuses.
const inheritZero = 4
