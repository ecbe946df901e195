package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"syscall"
)

// The perf protocol: on each bidirectional stream the client sends eight bytes, big-endian, that say how many bytes it
// wants, then any number of bytes of its own, and finishes; the server answers with that many bytes and finishes.
const alpnPerf = "perf"

// alpnUsage is our addition: on each bidirectional stream the server answers with a usage in JSON.
const alpnUsage = "boringquic-perf-usage"

// blockSize is how many bytes are handed to, or taken from, a stream at once.
const blockSize = 128 << 10

// zeros is what is sent.
var zeros [blockSize]byte

// usage is what a process has used so far.
type usage struct {
	CPUSeconds float64 `json:"cpu_seconds"`   // user and system time
	MaxRSS     int64   `json:"max_rss_bytes"` // the largest resident set
}

// ownUsage asks the operating system about this process.
func ownUsage() (usage, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}, fmt.Errorf("getrusage: %w", err)
	}
	return usage{
		CPUSeconds: float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9,
		MaxRSS:     int64(r.Maxrss) << 10, // Linux counts in KiB
	}, nil
}

// answerPerf serves one stream of the perf protocol.
func answerPerf(s io.ReadWriteCloser) error {
	var want [8]byte
	if _, err := io.ReadFull(s, want[:]); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, s); err != nil {
		return err
	}
	if err := sendZeros(s, binary.BigEndian.Uint64(want[:])); err != nil {
		return err
	}
	return s.Close()
}

// requestPerf asks for down bytes and sends up bytes on one stream; count is told of bytes as they pass.
func requestPerf(s io.ReadWriteCloser, down, up uint64, count io.Writer) error {
	if _, err := s.Write(binary.BigEndian.AppendUint64(nil, down)); err != nil {
		return err
	}
	if err := sendZeros(io.MultiWriter(s, count), up); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	got, err := io.Copy(count, s)
	if err == nil && uint64(got) != down {
		err = fmt.Errorf("the server sent %d bytes in place of %d", got, down)
	}
	return err
}

func sendZeros(w io.Writer, n uint64) error {
	for n > 0 {
		m, err := w.Write(zeros[:min(n, blockSize)])
		if err != nil {
			return err
		}
		n -= uint64(m)
	}
	return nil
}

// answerUsage serves one stream of the usage protocol.
func answerUsage(s io.ReadWriteCloser) error {
	u, err := ownUsage()
	if err != nil {
		return err
	}
	if err := json.NewEncoder(s).Encode(u); err != nil {
		return err
	}
	return s.Close()
}

// requestUsage asks for the server's usage on one stream.
func requestUsage(s io.ReadWriteCloser) (u usage, err error) {
	if err = s.Close(); err != nil {
		return usage{}, err
	}
	return u, json.NewDecoder(io.LimitReader(s, 4<<10)).Decode(&u)
}
