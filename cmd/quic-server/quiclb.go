package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/boringquic/boringquic/cmd/internal/smallfile"
	"github.com/boringquic/boringquic/cmd/internal/usage"
	"github.com/boringquic/boringquic/quic/quiclb"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// lbConfig is what --quic-lb says.
type lbConfig struct {
	text string // without the name of a file
	quiclb.Config
	serverID []byte
	keyFile  string // empty: there is none
}

// quicLB reads the value of --quic-lb: NAME=VALUE and names with commas between them, or @ and a file that holds them.
func quicLB(value string) (*lbConfig, error) {
	lb, err := readLB(value)
	if err == nil && lb.keyFile != "" {
		lb.Key, err = soleKey(lb.keyFile, "key for connection IDs", 16)
	}
	return lb, err
}

// readLB is quicLB without the key, of which it finds the file.
func readLB(value string) (*lbConfig, error) {
	text := value
	if file, ok := strings.CutPrefix(value, "@"); ok {
		b, err := smallfile.Read(file)
		if err != nil {
			return nil, fmt.Errorf("no configuration of connection IDs: %w", err)
		}
		text = strings.TrimSpace(string(b))
	}
	lb := &lbConfig{text: text, Config: quiclb.Config{NonceLen: 8}}
	var err error
	if lb.keyFile, err = lb.parse(); err == nil {
		err = lb.Check() // before a file is made
	}
	if err != nil {
		return nil, lbError(value, err)
	}
	return lb, nil
}

func lbError(value string, err error) error {
	return usage.Error(fmt.Errorf("--quic-lb %s: %s", value, strings.TrimPrefix(err.Error(), "quiclb: ")))
}

// parse reads the parts of the text but for the key, whose file it returns.
func (lb *lbConfig) parse() (keyFile string, err error) {
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(lb.text, ",") {
		name, value, given := strings.Cut(strings.TrimSpace(part), "=")
		if seen[name] {
			return "", fmt.Errorf("%s is given twice", name)
		}
		seen[name] = true
		switch name {
		case "rotation":
			lb.Rotation, err = strconv.Atoi(value)
		case "nonce-len":
			lb.NonceLen, err = strconv.Atoi(value)
		case "server-use":
			lb.ServerUse, err = strconv.Atoi(value)
		case "server-id":
			lb.serverID, err = hex.DecodeString(value)
			lb.ServerIDLen = len(lb.serverID)
		case "key-file":
			if keyFile = value; value == "" {
				return "", errors.New("key-file= stands without a file")
			}
		case "encode-length":
			if lb.EncodeLength = true; given {
				return "", errors.New("encode-length stands without a value")
			}
		default:
			return "", fmt.Errorf("%q is none of server-id, rotation, nonce-len, key-file, encode-length and server-use", name)
		}
		if err != nil && name != "server-id" {
			return "", fmt.Errorf("%s=%s is not a number", name, value)
		}
		if err != nil {
			return "", fmt.Errorf("server-id=%s: give two hexadecimal digits for each byte", value)
		}
	}
	if len(lb.serverID) == 0 {
		return "", errors.New("server-id is missing: give two hexadecimal digits for each byte, such as server-id=0a0b")
	}
	return keyFile, nil
}

// rereadQuicLB has connection IDs made by what the file of --quic-lb says then at each SIGHUP, until ctx ends. If that cannot be, all stays.
func rereadQuicLB(ctx context.Context, o *options, ids *quiclb.Generator, ep *quicnet.Endpoint, log *logger) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hup)
		for used := o.lb.text; ; {
			select {
			case <-ctx.Done():
				return
			case <-hup:
			}
			lb, err := quicLB(o.quicLB)
			if err == nil && lb.text == used {
				continue
			}
			if err == nil {
				err = ids.Rotate(lb.Config, lb.serverID)
			}
			if err != nil {
				log.say("quic-server: connection IDs stay as they were: %s", strings.TrimPrefix(err.Error(), "quiclb: "))
				continue
			}
			used = lb.text
			ep.RenewConnIDs()
			log.say("quic-server: connection IDs by %s from now on", used)
		}
	}()
}
