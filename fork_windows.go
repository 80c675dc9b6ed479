package rand

// Windows copies no process: there is no fork to detect. What copies the machine
// is found by the pause detector.

func mapForkPage() (page *uint64, why string) { return nil, "Windows does not fork" }

// processID: it can not change.
func processID() int { return 0 }
