package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// recipe returns the code block of docs/hooks.md that names the file, or has the text in it.
func recipe(t *testing.T, language, text string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(page, -1) {
		if bytes.Contains(block[1], []byte(text)) {
			return string(block[1])
		}
	}
	t.Fatalf("docs/hooks.md has no %s with %q", language, text)
	return ""
}

// Every script of the page is run for real, with the real command, on a generation file of its own.
func TestHookScriptsOfThePage(t *testing.T) {
	bin := t.TempDir()
	if err := os.Symlink(program(t), filepath.Join(bin, "clonerand")); err != nil {
		t.Fatal(err)
	}
	install := func(name, script string) string {
		path := filepath.Join(bin, name)
		if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("sh", "-n", path).CombinedOutput(); err != nil {
			t.Fatalf("sh -n %s: %v\n%s", name, err, out)
		}
		return path
	}
	install("clonerand-resume", recipe(t, "sh", "# /usr/local/sbin/clonerand-resume [WORD...]"))
	sleep := install("sleep", recipe(t, "sh", "# /usr/lib/systemd/system-sleep/clonerand"))
	freeze := install("fsfreeze", recipe(t, "sh", "# /etc/qemu/fsfreeze-hook.d/clonerand"))
	vsock := install("vsock", recipe(t, "sh", "# /usr/local/sbin/clonerand-resume-vsock"))
	criu := install("criu", recipe(t, "sh", "# /usr/local/sbin/clonerand-criu"))
	instance := filepath.Join(bin, "instance-id")
	if err := os.WriteFile(instance, []byte("i-0123\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cloud := install("cloud", strings.ReplaceAll(recipe(t, "sh", "# /var/lib/cloud/scripts/per-instance/clonerand"),
		"/var/lib/cloud/data/instance-id", instance))
	install("host-qemu", recipe(t, "sh", "virsh qemu-agent-command"))
	install("host-firecracker", recipe(t, "sh", "UNIX-CONNECT"))

	for _, c := range []struct {
		name    string
		command []string
		stdin   string
		env     string
		bumps   uint64
	}{
		{"resume", []string{filepath.Join(bin, "clonerand-resume")}, "", "", 1},
		{"resume with words", []string{filepath.Join(bin, "clonerand-resume"), "a", "b c"}, "", "", 1},
		{"hibernated", []string{sleep, "post", "hibernate"}, "", "", 1},
		{"suspended, then hibernated", []string{sleep, "post", "suspend-then-hibernate"}, "", "", 1},
		{"about to hibernate", []string{sleep, "pre", "hibernate"}, "", "", 0},
		{"suspended", []string{sleep, "post", "suspend"}, "", "", 0},
		{"thaw", []string{freeze, "thaw"}, "", "", 1},
		{"freeze", []string{freeze, "freeze"}, "", "", 0},
		{"vsock", []string{vsock}, "4c4c4544-0042\n", "", 1},
		{"vsock without a word", []string{vsock}, "", "", 1},
		{"criu restores", []string{criu}, "", "CRTOOLS_SCRIPT_ACTION=pre-resume", 1},
		{"criu dumps", []string{criu}, "", "CRTOOLS_SCRIPT_ACTION=pre-dump", 0},
		{"a new instance", []string{cloud}, "", "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, start := newGeneration(t)
			before, _ := readFile(t, path)
			cmd := exec.Command(c.command[0], c.command[1:]...)
			cmd.Stdin = strings.NewReader(c.stdin)
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "CLONERAND_GENERATION="+path, c.env)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			after, _ := readFile(t, path)
			if generation, _, _ := readGeneration(path); generation != start+c.bumps {
				t.Errorf("%d bumps, want %d", generation-start, c.bumps)
			}
			if changed := !bytes.Equal(before[8:], after[8:]); changed != (c.bumps > 0) {
				t.Errorf("the identity changed: %v", changed)
			}
		})
	}
}

func TestHookUnitsOfThePage(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("no systemd-analyze")
	}
	dir := t.TempDir()
	var units []string
	for _, name := range []string{"clonerand.service", "clonerand-guard.service", "clonerand-resume.socket", "clonerand-resume@.service"} {
		unit := recipe(t, "ini", "# /etc/systemd/system/"+name)
		unit = strings.NewReplacer("/usr/local/bin/clonerand", program(t), "/usr/local/sbin/clonerand-resume-vsock", "/bin/true").Replace(unit)
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
		units = append(units, path)
	}
	cmd := exec.Command("systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, units...)...)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("clonerand")) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

func TestUdevRuleOfThePage(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "60-vmclock.rules")
	if err := os.WriteFile(rules, []byte(recipe(t, "udev", "vmclock")), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("udevadm", "verify", rules).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) || bytes.Contains(out, []byte("Unknown command verb")) {
		t.Skip("no udevadm verify (systemd 254)")
	}
	if err != nil {
		t.Errorf("udevadm verify: %v\n%s", err, out)
	}
}

// buildRecipe compiles a program of the page in a folder that only the compiler sees.
func buildRecipe(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	source, overlay, out := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "program")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(here, "recipe", "main.go"): source}})
	err = errors.Join(err, os.WriteFile(source, []byte(recipe(t, "go", text)), 0o644), os.WriteFile(overlay, replace, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	if log, err := exec.Command("go", "build", "-overlay", overlay, "-o", out, "./recipe").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, log)
	}
	return out
}

func TestSignalHandlerOfThePage(t *testing.T) {
	cmd := exec.Command(buildRecipe(t, "SIGUSR1"))
	out, err := cmd.StdoutPipe()
	if err := errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	stop := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer stop.Stop()
	lines := bufio.NewScanner(out)
	for _, want := range []string{"ready", "reseeded", "reseeded"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("it says %q, want %q", lines.Text(), want)
		}
		if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKernelReseedOfThePage(t *testing.T) {
	needGuard(t)
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	for name, target := range map[string]string{
		"clonerand":        "#!/bin/sh\n" + program(t) + ` "$@" >>` + log + "\n",
		"clonerand-resume": "#!/bin/sh\n" + `echo "resumed with $1" >>` + log + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(target), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", "-eu", "-c", recipe(t, "sh", "clonerand guard -once"))
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "word=c0ffee")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	const want = "The kernel has reseeded its generator.\nresumed with c0ffee\n"
	if got, _ := os.ReadFile(log); string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
}
