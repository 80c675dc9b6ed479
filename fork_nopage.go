//go:build unix && !linux && !freebsd && !netbsd

package rand

// mapForkPage: these systems have no page that Go could have wiped on fork, so the
// process ID tells.
//
//   - OpenBSD has MAP_INHERIT_ZERO, but minherit(2) is reached through its libc alone:
//     since OpenBSD 7.5 Go's raw system calls return ENOSYS, and x/sys has no
//     wrapper.
//   - illumos has MC_INHERIT_ZERO, which is in its libc, too.
//   - DragonFly's and Darwin's minherit(2) know share, copy and none: a page that is
//     gone in the child would be a fault there and no news.
//   - AIX and Solaris document nothing of the kind.
//
// A child that is given the parent's own PID (its parent and the first owner of
// the number must both have ended) is not seen by this. It is seen as a pause, as any
// fork, where there is a cycle counter; where there is none every small Read
// mixes operating-system bytes in.
func mapForkPage() (page *uint64, why string) { return nil, "no page is wiped on fork here" }

// wipeOnFork is never called: there is no page.
func wipeOnFork(*uint64) (why string) { return "no page is wiped on fork here" }
