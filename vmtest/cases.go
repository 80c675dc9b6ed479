package main

// pair are two clones that read enough to be compared.
var pair = []variant{{reads: 20_000}, {reads: 20_000}}

// scenarios are the cases of the table.
func scenarios() []scenario {
	plain := func(name, arch, kernel, cpu string) scenario {
		return scenario{
			name:    name,
			machine: machine{arch: arch, kernel: kernel, cpu: cpu},
			clones:  pair,
			compare: []comparison{{name, []int{0, 1}}},
		}
	}
	return []scenario{
		plain("amd64-max", "amd64", "newest-amd64", "max"),
		plain("amd64-qemu64", "amd64", "newest-amd64", "qemu64"),
		plain("amd64-norng", "amd64", "newest-amd64", "max,-rdrand,-rdseed"),
		plain("amd64-max-6.12", "amd64", "6.12-amd64", "max"),
		plain("arm64-max", "arm64", "newest-arm64", "max,pauth-impdef=on"),
		plain("arm64-n1", "arm64", "newest-arm64", "neoverse-n1"),
	}
}
