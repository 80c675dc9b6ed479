//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// becomeUser makes this process one of the user, a name or a number, for good. What it makes from then on belongs
// to the user, and what it accepts is what the user's own programs accept.
func becomeUser(name string) error {
	groups, uid, err := idsOf(name)
	switch {
	case err != nil:
		return err
	case uid == os.Geteuid():
		return nil
	case os.Geteuid() != 0:
		return fmt.Errorf("-user %s: only root can run as another user", name)
	}
	// The user last: only root may change the groups.
	if err = syscall.Setgroups(groups); err == nil {
		if err = syscall.Setgid(groups[0]); err == nil {
			err = syscall.Setuid(uid)
		}
	}
	if err == nil && (os.Getuid() != uid || os.Geteuid() != uid || os.Getegid() != groups[0]) {
		err = errors.New("the system did not do it")
	}
	if err != nil {
		return fmt.Errorf("-user %s: %w", name, err)
	}
	return nil
}

// idsOf asks id(1), which knows the users of a network, too. A number that it does not know is
// a user with the group of that number. The first group is the user's own.
func idsOf(name string) (groups []int, uid int, err error) {
	own, err := idOf("-u", name)
	if number, notNumber := strconv.ParseUint(name, 10, 31); err != nil && notNumber == nil {
		return []int{int(number)}, int(number), nil
	}
	if err != nil || len(own) != 1 {
		return nil, 0, fmt.Errorf("-user %s: id(1) knows no such user; a number will do: %w", name, err)
	}
	group, err := idOf("-g", name)
	if err == nil {
		groups, err = idOf("-G", name)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("-user %s: %w", name, err)
	}
	return append(group, groups...), own[0], nil
}

func idOf(what, name string) (ids []int, err error) {
	out, err := exec.Command("id", what, "--", name).Output()
	if err != nil {
		return nil, err
	}
	for field := range strings.FieldsSeq(string(out)) {
		id, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, errors.New("id(1) says nothing")
	}
	return ids, nil
}
