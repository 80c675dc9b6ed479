package rand

import "syscall"

// No documented call of Windows forks a process: PssCaptureSnapshot's copy runs no
// thread. What does copy a running one (RtlCloneUserProcess, and the fork of Cygwin
// for a DLL that this package is in) starts a process with another ID, and that is
// cheap to look at: no system call.

func mapForkPage() (page *uint64, why string) { return nil, "Windows wipes no page on fork" }

func processID() int { return syscall.Getpid() }

// wipeOnFork is never called: there is no page.
func wipeOnFork(*uint64) (why string) { return "no page is wiped on fork here" }
