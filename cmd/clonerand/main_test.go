package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/clonerand/rand"
)

// program builds the real binary, once.
func program(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var binaryFolder string // removed by TestMain

var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaryFolder, "clonerand")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	if helper, ok := helpers[os.Getenv("CLONERAND_TEST_HELPER")]; ok {
		helper()
		os.Exit(0)
	}
	var err error
	if binaryFolder, err = os.MkdirTemp("", "clonerand"); err != nil {
		panic(err)
	}
	status := m.Run()
	os.RemoveAll(binaryFolder)
	os.Exit(status)
}

// helpers are what the test binary does instead of testing when a test runs it as another process.
var helpers = map[string]func(){
	"generation": func() { // prints it for each line that it gets
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			fmt.Println(rand.Generation())
		}
	},
}
