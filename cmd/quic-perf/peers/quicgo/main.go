// Command quicgo does with quic-go what quic-perf does with ours, behind the same flags, so that quic-perf can compare the
// two. It has a module of its own: users of the library never download quic-go.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
)

// The protocols of quic-perf, and how many bytes pass a call.
const (
	alpnPerf  = "perf"
	alpnUsage = "boringquic-perf-usage"
	blockSize = 128 << 10
)

var zeros [blockSize]byte

// config has quic-go send datagrams as large as it ever does, from the start.
func config() *quic.Config {
	return &quic.Config{InitialPacketSize: 1452, MaxIncomingStreams: 1000}
}

func main() {
	err := errors.New("usage: quicgo server --listen HOST:PORT, or quicgo bulk --bytes N [--upload] [--streams N] HOST:PORT")
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "server":
			err = server(os.Args[2:])
		case "bulk":
			err = bulk(os.Args[2:])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quicgo:", err)
		os.Exit(1)
	}
}

func server(args []string) error {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:4433", "`HOST:PORT` to listen on")
	_ = flags.Parse(args) // it exits by itself
	cert, err := certificate()
	if err != nil {
		return err
	}
	ln, err := quic.ListenAddr(*listen,
		&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{alpnPerf, alpnUsage}}, config())
	if err != nil {
		return err
	}
	fmt.Printf("quicgo: listening on %s\n", ln.Addr())
	for {
		conn, err := ln.Accept(context.Background())
		if err != nil {
			return err
		}
		go serveConn(conn)
	}
}

func serveConn(conn *quic.Conn) {
	answer := answerPerf
	if conn.ConnectionState().TLS.NegotiatedProtocol == alpnUsage {
		answer = answerUsage
	}
	for {
		s, err := conn.AcceptStream(context.Background())
		if err != nil {
			return
		}
		go func() {
			if err := answer(s); err != nil {
				s.CancelWrite(1)
			}
		}()
	}
}

func answerPerf(s *quic.Stream) error {
	var want [8]byte
	if _, err := io.ReadFull(s, want[:]); err != nil {
		return err
	}
	if _, err := discard(s); err != nil {
		return err
	}
	if err := sendZeros(s, binary.BigEndian.Uint64(want[:])); err != nil {
		return err
	}
	return s.Close()
}

type usage struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	MaxRSS     int64   `json:"max_rss_bytes"`
}

func ownUsage() (usage, error) {
	var r syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return usage{float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9, int64(r.Maxrss) << 10}, err
}

func answerUsage(s *quic.Stream) error {
	u, err := ownUsage()
	if err != nil {
		return err
	}
	if err := json.NewEncoder(s).Encode(u); err != nil {
		return err
	}
	return s.Close()
}

type cost struct {
	CPUPerGiB float64 `json:"cpu_seconds_per_gib"`
	MaxRSS    int64   `json:"max_rss_bytes"`
}

func bulk(args []string) error {
	flags := flag.NewFlagSet("bulk", flag.ExitOnError)
	bytes := flags.String("bytes", "1073741824", "`NUMBER` of bytes to move")
	upload := flags.Bool("upload", false, "send to the server")
	streams := flags.Int("streams", 1, "`NUMBER` of streams")
	flags.Bool("json", true, "print JSON; it always does")
	_ = flags.Parse(args) // it exits by itself
	total, err := strconv.ParseUint(*bytes, 10, 64)
	if err != nil || flags.NArg() != 1 || *streams < 1 {
		return errors.New("bulk wants a number of bytes, at least one stream and one HOST:PORT")
	}
	addr := flags.Arg(0)
	serverBefore, err := serverUsage(addr)
	if err != nil {
		return err
	}
	before, err := ownUsage()
	if err != nil {
		return err
	}
	seconds, err := move(addr, total, *streams, *upload)
	if err != nil {
		return err
	}
	after, err := ownUsage()
	if err != nil {
		return err
	}
	serverAfter, err := serverUsage(addr)
	if err != nil {
		return err
	}
	gib := float64(total) / (1 << 30)
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"bytes": total, "upload": *upload, "streams": *streams, "udp_payload": config().InitialPacketSize, "seconds": seconds,
		"mbit_per_second": float64(total) * 8 / 1e6 / seconds,
		"client":          cost{(after.CPUSeconds - before.CPUSeconds) / gib, after.MaxRSS},
		"server":          cost{(serverAfter.CPUSeconds - serverBefore.CPUSeconds) / gib, serverAfter.MaxRSS},
	})
}

func dial(addr, alpn string) (*quic.Conn, error) {
	return quic.DialAddr(context.Background(), addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}}, config())
}

func move(addr string, total uint64, streams int, upload bool) (float64, error) {
	conn, err := dial(addr, alpnPerf)
	if err != nil {
		return 0, err
	}
	defer conn.CloseWithError(0, "")
	var wg sync.WaitGroup
	errs := make([]error, streams)
	start := time.Now()
	for i := range streams {
		share := total / uint64(streams)
		if i == 0 {
			share += total % uint64(streams)
		}
		wg.Go(func() {
			down, up := share, uint64(0)
			if upload {
				down, up = 0, share
			}
			errs[i] = request(conn, down, up)
		})
	}
	wg.Wait()
	return time.Since(start).Seconds(), errors.Join(errs...)
}

func request(conn *quic.Conn, down, up uint64) error {
	s, err := conn.OpenStreamSync(context.Background())
	if err != nil {
		return err
	}
	if _, err := s.Write(binary.BigEndian.AppendUint64(nil, down)); err != nil {
		return err
	}
	if err := sendZeros(s, up); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	got, err := discard(s)
	if err == nil && got != down {
		err = fmt.Errorf("the server sent %d bytes in place of %d", got, down)
	}
	return err
}

func serverUsage(addr string) (u usage, err error) {
	conn, err := dial(addr, alpnUsage)
	if err != nil {
		return u, err
	}
	defer conn.CloseWithError(0, "")
	s, err := conn.OpenStreamSync(context.Background())
	if err != nil {
		return u, err
	}
	if err := s.Close(); err != nil {
		return u, err
	}
	return u, json.NewDecoder(s).Decode(&u)
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

func discard(r io.Reader) (n uint64, err error) {
	buf := make([]byte, blockSize)
	for {
		m, err := r.Read(buf)
		n += uint64(m)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

func certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
