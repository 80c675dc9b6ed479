package main

import "fmt"

// pair are two clones that read enough to be compared.
var pair = []variant{{reads: 20_000}, {reads: 20_000}}

// scenarios are the cases of the table.
func scenarios() []scenario {
	return []scenario{
		plain("amd64-max", machine{arch: "amd64", kernel: "newest-amd64", cpu: "max"}),
		blind(plain("amd64-qemu64", machine{arch: "amd64", kernel: "newest-amd64", cpu: "qemu64"})),
		plain("amd64-max-no-rdrand", machine{arch: "amd64", kernel: "newest-amd64", cpu: "max,-rdrand,-rdseed"}),
		plain("amd64-max-linux-6.12", machine{arch: "amd64", kernel: "6.12-amd64", cpu: "max"}),
		signals(),
		generationFile(),
		// pauth-impdef: the architecture's own pointer authentication is slow to emulate.
		plain("arm64-max", machine{arch: "arm64", kernel: "newest-arm64", cpu: "max,pauth-impdef=on"}),
		plain("arm64-neoverse-n1", machine{arch: "arm64", kernel: "newest-arm64", cpu: "neoverse-n1"}),
		fleet(),
		probing("amd64-probe", machine{arch: "amd64", kernel: "newest-amd64", cpu: "max"}),
		probing("arm64-probe", machine{arch: "arm64", kernel: "newest-arm64", cpu: "neoverse-n1"}),
		guard("amd64-guard", machine{arch: "amd64", kernel: "newest-amd64", cpu: "max"}),
		guard("amd64-guard-no-rdrand", machine{arch: "amd64", kernel: "newest-amd64", cpu: "max,-rdrand,-rdseed"}),
		guard("arm64-guard", machine{arch: "arm64", kernel: "newest-arm64", cpu: "max,pauth-impdef=on"}),
		guard("arm64-guard-no-rndr", machine{arch: "arm64", kernel: "newest-arm64", cpu: "neoverse-n1"}),
		keys("amd64-keys", "plain", machine{arch: "amd64", kernel: "newest-amd64", cpu: "max"}),
		keys("amd64-keys-patched", "patched", machine{arch: "amd64", kernel: "newest-amd64", cpu: "max"}),
		keys("arm64-keys-patched", "patched", machine{arch: "arm64", kernel: "newest-arm64", cpu: "neoverse-n1"}),
		hibernation(),
	}
}

// plain is a machine without any signal, whose snapshot is restored twice.
func plain(name string, m machine) scenario {
	if m.guest == "" {
		m.env = append(m.env, "CLONERAND_VMTEST_LARGE=1")
	}
	return scenario{name: name, machine: m, rounds: 3, clones: pair, compare: []comparison{{name, []int{0, 1}}}}
}

// blind is a machine whose CPU has no AES instructions: package rand does not use its counter.
func blind(s scenario) scenario {
	s.blind = true
	return s
}

// signals is a machine with both of QEMU's: three clones, the first two with a generation ID each, the
// third with that of the second.
func signals() scenario {
	with := func(id int) variant {
		return variant{
			devices: []string{fmt.Sprintf("vmgenid,guid=00000000-0000-0000-0000-%012d", id), "vmclock"},
			reads:   20_000,
		}
	}
	s := plain("amd64-vmgenid-vmclock", machine{
		arch: "amd64", kernel: "newest-amd64", cpu: "max", modules: []string{"ptp_vmclock"},
		env: []string{"CLONERAND_VMTEST_SIGNALS=1"},
	})
	s.boot, s.clones, s.signal = with(1), []variant{with(2), with(3), with(3)}, true
	s.compare = []comparison{{s.name + ", another ID", []int{0, 1}}, {s.name + ", same ID", []int{1, 2}}}
	return s
}

// generationFile is a machine whose only signal is the file, which a hook of the guest bumps.
func generationFile() scenario {
	s := plain("amd64-generation-file", machine{
		arch: "amd64", kernel: "newest-amd64", cpu: "max", command: true, env: []string{"CLONERAND_VMTEST_FILE=1"},
	})
	hooked := variant{reads: 20_000, bump: true}
	s.clones, s.signal = []variant{hooked, hooked}, true
	return s
}

// fleet is many clones of one machine whose counter is coarse and which has no random instruction.
func fleet() scenario {
	const clones = 20
	s := plain("arm64-neoverse-n1-fleet", machine{arch: "arm64", kernel: "newest-arm64", cpu: "neoverse-n1"})
	s.rounds, s.clones = 1, nil
	all := comparison{name: fmt.Sprintf("%s, all %d pairs", s.name, clones*(clones-1)/2)}
	for k := range clones {
		s.clones = append(s.clones, variant{reads: 1000})
		all.clones = append(all.clones, k)
	}
	s.compare = []comparison{all}
	return s
}

// keys is a guest whose standard library is patched to draw from the package, or as its control plain. It makes keys
// as TLS does.
func keys(name, guest string, m machine) scenario {
	m.guest = guest
	m.env = append(m.env, "CLONERAND_VMTEST_KEYS=1")
	if guest == "patched" {
		m.env = append(m.env, "CLONERAND_VMTEST_PATCHED=1")
	}
	s := plain(name, m)
	s.rounds, s.clones = 2, []variant{{reads: 6000}, {reads: 6000}}
	return s
}

// guard is a guest that reads crypto/rand without a break, with clonerand guard beside it.
func guard(name string, m machine) scenario {
	m.guest, m.command = "plain", true
	m.env = append(m.env, "CLONERAND_VMTEST_GUARD=1")
	s := plain(name, m)
	s.rounds, s.guard = 2, true
	return s
}
