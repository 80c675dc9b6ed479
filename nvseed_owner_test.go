//go:build unix

package rand

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Who can put a seed, or something in its place, knows what is drawn. Nobody but root and the effective user may.
func TestNVSeedThatOthersCanPlant(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	const other = 12345
	for _, c := range []struct {
		name                   string
		above, folder          fs.FileMode
		aboveOwner, owner, own int // of the folder above, of the folder and of the seed
		want                   string
	}{
		{name: "as it should be", above: 0o755, folder: 0o700},
		{name: "a seed of another user", above: 0o755, folder: 0o755, own: other, want: "belongs to user 12345; it must be root's or this user's own: run as that user, for which clonerand seed has the flag -user 12345"},
		{name: "a folder of another user", above: 0o755, folder: 0o755, owner: other, want: "FOLDER belongs to user 12345"},
		{name: "a seed and a folder of another user", above: 0o755, folder: 0o700, owner: other, own: other, want: "FOLDER belongs to user 12345"},
		{name: "a folder for its group", above: 0o755, folder: 0o775, want: "FOLDER is writable by others (mode 0775): run chmod go-w FOLDER, or move the seed"},
		{name: "a folder for the rest", above: 0o755, folder: 0o757, want: "FOLDER is writable by others (mode 0757)"},
		{name: "a folder for everybody, sticky", above: 0o755, folder: 0o777 | fs.ModeSticky, want: "FOLDER is writable by others, though it may be sticky (mode 01777): move the seed to a folder in which nobody else can write"},
		{name: "a folder for its group, sticky", above: 0o755, folder: 0o770 | fs.ModeSticky, want: "FOLDER is writable by others, though it may be sticky (mode 01770)"},
		{name: "a folder above for everybody", above: 0o777, folder: 0o700, want: "ABOVE is writable by others (mode 0777): run chmod go-w ABOVE, or move the seed"},
		{name: "a folder above for its group", above: 0o770, folder: 0o700, want: "ABOVE is writable by others (mode 0770)"},
		{name: "a folder above for everybody, sticky", above: 0o777 | fs.ModeSticky, folder: 0o700},
		{name: "a folder above of another user", above: 0o755, aboveOwner: other, folder: 0o700, want: "ABOVE belongs to user 12345"},
	} {
		t.Run(c.name, func(t *testing.T) {
			above := filepath.Join(memoryDir(t), "above")
			folderPath := filepath.Join(above, "folder")
			path := filepath.Join(folderPath, "seed")
			if err := errors.Join(os.Mkdir(above, 0o755), os.Mkdir(folderPath, 0o755), CreateNVSeed(path)); err != nil {
				t.Fatal(err)
			}
			s := openSeed(t, path)
			if err := errors.Join(os.Chown(path, c.own, c.own), os.Chown(folderPath, c.owner, c.owner), os.Chmod(folderPath, c.folder),
				os.Chown(above, c.aboveOwner, c.aboveOwner), os.Chmod(above, c.above)); err != nil {
				t.Fatal(err)
			}
			before := mustReadFile(t, path)
			_, openErr := OpenNVSeed(path)
			_, readErr := s.Read(make([]byte, 48))
			want := strings.NewReplacer("FOLDER", folderPath, "ABOVE", above).Replace(c.want)
			for what, err := range map[string]error{"OpenNVSeed": openErr, "Read": readErr} {
				if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %q in it", what, err, want)
				}
			}
			if want != "" && !bytes.Equal(before, mustReadFile(t, path)) {
				t.Error("the seed was changed")
			}
			if c.own != 0 && c.owner == 0 { // its place is right
				want = ""
			}
			err := CreateNVSeed(path + "2")
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("CreateNVSeed: %v, want %q in it", err, want)
			}
			if _, err := os.Lstat(path + "2"); want != "" && err == nil {
				t.Error("CreateNVSeed made a seed")
			}
		})
	}
}

// asAnotherUser runs the test again as the user 12345.
func asAnotherUser(t *testing.T, env string) {
	t.Helper()
	rerun(t, env, func(cmd *exec.Cmd) {
		if !strings.Contains(cmd.Path, "qemu") {
			cmd.Path = "/proc/self/exe" // the folder of the test binary is closed to others
		}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	})
}

// A service uses its own seed, or root's where it can, and nobody else's.
func TestNVSeedOfAService(t *testing.T) {
	const env = "CLONERAND_TEST_SERVICE"
	dir := os.Getenv(env)
	if dir == "" {
		if os.Getuid() != 0 {
			t.Skip("only root can run a process as another user")
		}
		if _, err := os.Stat("/proc/self/exe"); err != nil {
			t.Skip("needs /proc:", err)
		}
		skipEmulated(t, "the kernel starts no program of another CPU")
		dir := memoryDir(t)
		for name, uid := range map[string]int{"own": 12345, "root": 0, "strange": 54321} {
			folder := filepath.Join(dir, name)
			seed := filepath.Join(folder, "seed")
			if err := errors.Join(os.Mkdir(folder, 0o755), CreateNVSeed(seed), os.Remove(seed+".lock"), os.Chown(seed, uid, uid), os.Chown(folder, uid, uid)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Chmod(dir, 0o755), os.Symlink("../own/seed", filepath.Join(dir, "root", "link")),
			os.Symlink("../strange/seed", filepath.Join(dir, "root", "bad")), os.Symlink("../own/seed", filepath.Join(dir, "strange", "link"))); err != nil {
			t.Fatal(err)
		}
		asAnotherUser(t, env+"="+dir)
		if info, err := os.Stat(filepath.Join(dir, "own", "seed.lock")); err != nil || info.Sys().(*syscall.Stat_t).Uid != 12345 {
			t.Errorf("the lock of the service: %v, %v", info, err)
		}
		if got := folder(t, filepath.Join(dir, "root")); len(got) != 3 {
			t.Errorf("root's folder holds %v", got)
		}
		return
	}
	for name, want := range map[string]string{
		"own/seed":     "",
		"root/link":    "",
		"root/seed":    "permission denied: run as a user who can write in " + dir + "/root",
		"strange/seed": dir + "/strange belongs to user 54321; it must be root's or this user's own: run as user 54321, or move the seed",
		"root/bad":     dir + "/strange belongs to user 54321",
		"strange/link": dir + "/strange belongs to user 54321",
	} {
		path := filepath.Join(dir, name)
		s, err := OpenNVSeed(path)
		if err == nil {
			_, err = s.Read(make([]byte, 48))
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", name, err, want)
		}
	}
}

// A symbolic link that another user can lay, or lead elsewhere, chooses which file of ours 64 random bytes replace.
func TestNVSeedBehindSymbolicLinks(t *testing.T) {
	root := os.Getuid() == 0
	for _, c := range []struct {
		name string
		lay  func(dir, target string) (path string, err error)
		want string // in the error, DIR being the folder
	}{
		{"a link to a link to a link", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Symlink(target, dir+"/3"), os.Symlink("3", dir+"/2"), os.Symlink(dir+"/2", dir+"/1"))
		}, ""},
		{"up and down", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Mkdir(dir+"/sub", 0o700), os.Symlink("./sub/../2", dir+"/1"), os.Symlink("sub/3", dir+"/2"), os.Symlink(target, dir+"/sub/3"))
		}, ""},
		{"a link to the folder", func(dir, target string) (string, error) {
			return dir + "/folder/seed", os.Symlink(filepath.Dir(target), dir+"/folder")
		}, ""},
		{"a link above the folder, and one to the file", func(dir, target string) (string, error) {
			return dir + "/root/" + dir + "/2", errors.Join(os.Symlink("/", dir+"/root"), os.Symlink(target, dir+"/2"))
		}, ""},
		{"39 links", func(dir, target string) (string, error) { return dir + "/0", chain(dir, target, 39) }, ""},
		{"40 links", func(dir, target string) (string, error) { return dir + "/0", chain(dir, target, 40) }, ""},
		{"41 links", func(dir, target string) (string, error) { return dir + "/0", chain(dir, target, 41) }, "leads nowhere"},
		{"in a sticky folder", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Chmod(dir, 0o777|fs.ModeSticky), os.Symlink(target, dir+"/1"))
		}, ""},
		{"in a folder for everybody", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Chmod(dir, 0o777), os.Symlink(target, dir+"/1"))
		}, "the folder DIR is writable by others"},
		{"the second in a folder for everybody", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Mkdir(dir+"/sub", 0o700), os.Chmod(dir+"/sub", 0o777), os.Symlink("sub/2", dir+"/1"), os.Symlink(target, dir+"/sub/2"))
		}, "the folder DIR/sub is writable by others"},
		{"of another user", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Symlink(target, dir+"/1"), os.Lchown(dir+"/1", 12345, 12345))
		}, "the symbolic link DIR/1 belongs to user 12345; it must be root's or this user's own: name the file itself"},
		{"the second of another user", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Symlink("2", dir+"/1"), os.Symlink(target, dir+"/2"), os.Lchown(dir+"/2", 12345, 12345))
		}, "the symbolic link DIR/2 belongs to user 12345"},
		{"of another user in a sticky folder", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Chmod(dir, 0o777|fs.ModeSticky), os.Symlink(target, dir+"/1"), os.Lchown(dir+"/1", 12345, 12345))
		}, "the symbolic link DIR/1 belongs to user 12345"},
		{"to a folder, of another user", func(dir, target string) (string, error) {
			return dir + "/folder/seed", errors.Join(os.Symlink(filepath.Dir(target), dir+"/folder"), os.Lchown(dir+"/folder", 12345, 12345))
		}, "the symbolic link DIR/folder belongs to user 12345"},
		{"in a folder of another user", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Symlink(target, dir+"/1"), os.Chown(dir, 12345, 12345))
		}, "the folder DIR belongs to user 12345"},
		{"to itself, by way of another", func(dir, target string) (string, error) {
			return dir + "/1", errors.Join(os.Symlink("2", dir+"/1"), os.Symlink("1", dir+"/2"))
		}, "leads nowhere"},
		{"to a folder", func(dir, target string) (string, error) {
			return dir + "/1", os.Symlink(filepath.Dir(target), dir+"/1")
		}, "is a folder: name the seed file in it"},
		{"to the root folder", func(dir, target string) (string, error) { return dir + "/1", os.Symlink("/", dir+"/1") }, "is a folder"},
		{"to a file as a folder", func(dir, target string) (string, error) {
			return dir + "/1", os.Symlink(target+"/seed", dir+"/1")
		}, "not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Contains(c.name, "another user") && !root {
				t.Skip("only root can give a file to another user")
			}
			_, target := newSeed(t)
			dir := memoryDir(t)
			path, err := c.lay(dir, target)
			if err != nil {
				t.Fatal(err)
			}
			before, names := mustReadFile(t, target), folder(t, dir)
			s, err := newNVSeed(path)
			if err != nil {
				t.Fatal(err)
			}
			_, openErr := OpenNVSeed(path)
			_, readErr := s.Read(make([]byte, 48))
			want := strings.ReplaceAll(c.want, "DIR", dir)
			for what, err := range map[string]error{"OpenNVSeed": openErr, "Read": readErr} {
				if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %q in it", what, err, want)
				}
			}
			if advanced := !bytes.Equal(before, mustReadFile(t, target)); advanced != (want == "") {
				t.Errorf("the seed was advanced: %v", advanced)
			}
			if diff := cmp.Diff(names, folder(t, dir)); diff != "" {
				t.Errorf("beside the links: %s", diff)
			}
		})
	}
}

// chain lays n symbolic links, the first of which is dir/0.
func chain(dir, target string, n int) (err error) {
	for i := range n {
		to := strconv.Itoa(i + 1)
		if i == n-1 {
			to = target
		}
		err = errors.Join(err, os.Symlink(to, filepath.Join(dir, strconv.Itoa(i))))
	}
	return err
}

// Between any two steps of a draw another folder takes the place of the seed's: the draw goes on with the one that it has
// opened, and touches nothing in the other.
func TestNVSeedFolderReplacedInADraw(t *testing.T) {
	for _, step := range drawSteps[:len(drawSteps)-2] {
		for _, kind := range []string{"folder", "symbolic link", "nothing"} {
			t.Run(step+"/"+kind, func(t *testing.T) {
				dir := memoryDir(t)
				place, planted, moved := filepath.Join(dir, "place"), filepath.Join(dir, "planted"), filepath.Join(dir, "moved")
				if err := errors.Join(os.Mkdir(place, 0o700), os.Mkdir(planted, 0o700), CreateNVSeed(place+"/seed")); err != nil {
					t.Fatal(err)
				}
				known := bytes.Repeat([]byte("known"), 20)
				if err := errors.Join(os.WriteFile(planted+"/seed", known, 0o600), os.WriteFile(planted+"/seed.next", known, 0o600)); err != nil {
					t.Fatal(err)
				}
				before := mustReadFile(t, place+"/seed")
				s := openSeed(t, place+"/seed")
				s.stamp = frozen
				done := false
				s.step = func(at string) {
					if at != step || done {
						return
					}
					done = true
					err := os.Rename(place, moved)
					switch kind {
					case "folder":
						err = errors.Join(err, os.Rename(planted, place))
						planted = place
					case "symbolic link":
						err = errors.Join(err, os.Symlink(planted, place))
					}
					if err != nil {
						t.Error(err)
					}
				}
				out := mustDraw(t, s, 48, "")
				if !done {
					t.Fatal("there is no such step")
				}
				// The same draw, from the same seed, in peace.
				same := filepath.Join(memoryDir(t), "seed")
				if err := os.WriteFile(same, before, 0o600); err != nil {
					t.Fatal(err)
				}
				calm := openSeed(t, same)
				calm.stamp = frozen
				if want := mustDraw(t, calm, 48, ""); !bytes.Equal(out, want) || !bytes.Equal(mustReadFile(t, moved+"/seed"), mustReadFile(t, same)) {
					t.Error("another seed was drawn from")
				}
				if got := folder(t, planted); !bytes.Equal(known, mustReadFile(t, planted+"/seed")) || strings.Join(got, " ") != "seed seed.next" {
					t.Errorf("the planted folder was changed, and holds %v", got)
				}
				if got := strings.Join(folder(t, moved), " "); got != "seed seed.lock" {
					t.Errorf("the folder holds %s", got)
				}
			})
		}
	}
}
