package rand

func cycles() uint64

func Generation() uint64 { return 0 }
