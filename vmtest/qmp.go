package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"
)

// qmp is a connection to QEMU's machine protocol. One goroutine uses it.
type qmp struct {
	conn net.Conn
	dec  *json.Decoder
}

// dialQMP connects as soon as QEMU has made the socket.
func dialQMP(ctx context.Context, path string) (*qmp, error) {
	for {
		conn, err := net.Dial("unix", path)
		if err == nil {
			q := &qmp{conn: conn, dec: json.NewDecoder(conn)}
			if err := q.run(ctx, "qmp_capabilities", nil, nil); err != nil {
				conn.Close()
				return nil, err
			}
			return q, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !isRefused(err) {
			return nil, err
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// run executes one command; result may be nil.
func (q *qmp) run(ctx context.Context, command string, args map[string]any, result any) error {
	deadline, _ := ctx.Deadline()
	q.conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { q.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	request := map[string]any{"execute": command}
	if args != nil {
		request["arguments"] = args
	}
	if err := json.NewEncoder(q.conn).Encode(request); err != nil {
		return fmt.Errorf("qmp %s: %w", command, cmp.Or(context.Cause(ctx), err))
	}
	for {
		var reply struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
			Event  string
		}
		if err := q.dec.Decode(&reply); err != nil {
			return fmt.Errorf("qmp %s: %w", command, cmp.Or(context.Cause(ctx), err))
		}
		switch {
		case reply.Error != nil:
			return fmt.Errorf("qmp %s: %s", command, reply.Error.Desc)
		case reply.Event == "SHUTDOWN":
			// Nothing may follow: QEMU 10.0 can hang for ever in monitor_cleanup when it ends with a request under way.
			return fmt.Errorf("qmp %s: %w", command, errEnded)
		case reply.Return == nil: // the greeting, or another event
		case result != nil:
			return json.Unmarshal(reply.Return, result)
		default:
			return nil
		}
	}
}

// status is the field "status" of a command's result.
func (q *qmp) status(ctx context.Context, command string) (string, error) {
	var r struct{ Status string }
	err := q.run(ctx, command, nil, &r)
	return r.Status, err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
