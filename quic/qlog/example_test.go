package qlog_test

import (
	"bytes"
	"fmt"
	"time"

	"github.com/boringquic/boringquic/quic/qlog"
)

type memory struct{ bytes.Buffer }

func (*memory) Close() error { return nil }

func Example() {
	var file memory
	t := qlog.New(&file, qlog.Header{Client: true, GroupID: []byte{1, 2, 3}})
	t.Event(1500*time.Microsecond, &qlog.MTUUpdated{Old: 1200, New: 1452})
	if err := t.Close(); err != nil {
		fmt.Println(err)
	}
	records := bytes.Split(file.Bytes(), []byte{0x1e})
	fmt.Printf("%s", records[2])
	// Output:
	// {"time":1.5,"name":"quic:mtu_updated","data":{"old":1200,"new":1452}}
}
