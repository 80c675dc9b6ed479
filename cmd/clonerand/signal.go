package main

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/clonerand/rand"
	"github.com/clonerand/rand/internal/signalfile"
)

// The generation file: a 64-bit little-endian counter, then the identity of the clone.
const (
	generationSize = signalfile.Size
	identitySize   = generationSize - 8
)

const signalFile = `FILE is the generation file: CLONERAND_GENERATION where that names one, else /run/clonerand/generation.
`

var signalCommand = &command{
	name:  "signal",
	short: "the clone signals, and the generation file for resume hooks",
	long: signalFile + `
Every process that uses the package and has found the file reseeds at its next Read after a bump. A process looks
for it once, at its first Read; so run init early after the boot, and never delete or replace the file: processes that
have mapped it would not see the new one.
`,
	sub: []*command{
		{
			name: "init", args: "[FILE]", short: "make the generation file", most: 1, start: startSignalInit,
			long: `Makes the file and its folder, 64 bytes that only root (or the user who runs it) can write; the generation
starts at a random number. A file that is there stays as it is.

` + signalFile,
		},
		{
			name: "bump", args: "[-id HEX | -id-file F] [FILE]", short: "say that this machine was cloned, restored or resumed",
			most: 1, start: startSignalBump,
			long: `Says that this machine was cloned, restored or resumed: it writes an identity and then counts the generation up. Run
it in a resume hook, before anything that needs random bytes.

Without -id the identity is fresh random bytes. Siblings may draw the same ones where the kernel was cloned (no VMGenID
device) and the CPU has no random instruction. There pass by -id or -id-file what only this clone has, as the host told
it: the UUID of the virtual machine and the time of the restore, for instance. Siblings that share one template share its
/etc/machine-id. Everybody can read the file: the identity is no secret. If it is longer than 56 bytes it is hashed with
SHA-512 and cut to 56.

` + signalFile,
		},
		{
			name: "status", args: "[FILE]", short: "show every clone signal of this machine and its value", most: 1,
			start: startSignalStatus, long: "Shows every clone signal of this machine and its value.\n\n" + signalFile,
		},
	},
}

func startSignalInit(*flag.FlagSet) action {
	return func(args []string, stdout, _ io.Writer) error {
		path, err := generationFile(args)
		if err != nil {
			return errMisused{err}
		}
		created, err := initGeneration(path)
		if err != nil {
			return err
		}
		if created {
			fmt.Fprintf(stdout, "%s: made\n", path)
		} else {
			fmt.Fprintf(stdout, "%s: is there already, left as it is\n", path)
		}
		return nil
	}
}

func startSignalBump(flags *flag.FlagSet) action {
	digits := flags.String("id", "", "the identity as hexadecimal digits, any number of pairs, in `HEX`; hyphens and colons\nare skipped, as in a UUID")
	file := flags.String("id-file", "", "the identity is the bytes of the file `F`, as they are; of standard input where F is -")
	return func(args []string, stdout, _ io.Writer) error {
		path, err := generationFile(args)
		if err != nil {
			return errMisused{err}
		}
		given := make(map[string]bool)
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })

		id := make([]byte, identitySize)
		switch {
		case given["id"] && given["id-file"]:
			return misused("-id and -id-file exclude each other")
		case given["id"]:
			if id, err = hexIdentity(*digits); err != nil {
				return errMisused{err}
			}
		case given["id-file"]:
			if id, err = fileIdentity(*file); err != nil {
				return err
			}
		default:
			rand.Read(id)
		}
		generation, err := bumpGeneration(path, fitIdentity(id))
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s: generation %d\n", path, generation)
		return nil
	}
}

func startSignalStatus(*flag.FlagSet) action {
	return func(args []string, stdout, _ io.Writer) error {
		path, pathErr := generationFile(args)
		if len(args) > 0 {
			if pathErr != nil {
				return errMisused{pathErr}
			}
			// Before the package looks for it, which it does once.
			if err := os.Setenv("CLONERAND_GENERATION", path); err != nil {
				return err
			}
		}
		if err := printProtections(stdout, signalRows()); err != nil {
			return err
		}
		if pathErr != nil {
			return nil // the table says it
		}
		generation, id, err := readGeneration(path)
		if err == nil {
			fmt.Fprintf(stdout, "%s: generation %d, identity %x\n", path, generation, id)
		} else if len(args) > 0 { // else the table says it
			return err
		}
		return nil
	}
}

// signalRows are the clone signals.
func signalRows() (rows []rand.Protection) {
	for _, row := range rand.Inspect(0) {
		switch row.Name {
		case "vmclock", "sysgenid", "generation file":
			rows = append(rows, row)
		}
	}
	return rows
}

// generationFile returns the file that the arguments name, or else the environment, or else the default.
func generationFile(args []string) (string, error) {
	if len(args) == 0 {
		path, err := signalfile.Path(os.Getenv("CLONERAND_GENERATION"))
		if err != nil {
			err = fmt.Errorf("CLONERAND_GENERATION: %w; name a FILE, or unset it", err)
		}
		return path, err
	}
	if args[0] == "" { // a variable of a script that is not set
		return "", errors.New("the name of the FILE is empty")
	}
	return signalfile.Path(args[0])
}

func hexIdentity(digits string) ([]byte, error) {
	id, err := hex.DecodeString(strings.NewReplacer("-", "", ":", "").Replace(digits))
	if err != nil || len(id) == 0 {
		return nil, errors.New("-id wants pairs of hexadecimal digits")
	}
	return id, nil
}

// fileIdentity reads standard input, where path is "-", or a regular file; of anything else nobody knows whether it ever
// ends. It reads at most 1 MiB.
func fileIdentity(path string) ([]byte, error) {
	f := os.Stdin
	if path != "-" {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s: is not a regular file; - is standard input", path)
		}
		if f, err = os.Open(path); err != nil {
			return nil, err
		}
		defer f.Close()
	}
	id, err := io.ReadAll(io.LimitReader(f, 1<<20+1))
	switch {
	case err != nil:
		return nil, err
	case len(bytes.TrimSpace(id)) == 0:
		return nil, fmt.Errorf("%s: is empty, so it tells no clone from another", path)
	case len(id) > 1<<20:
		return nil, fmt.Errorf("%s: is longer than 1 MiB; give a hash of it", path)
	}
	return id, nil
}

// fitIdentity pads a short identity with zeros and hashes a long one.
func fitIdentity(id []byte) (fit [identitySize]byte) {
	if len(id) > identitySize {
		sum := sha512.Sum512(id)
		id = sum[:identitySize]
	}
	copy(fit[:], id)
	return fit
}
