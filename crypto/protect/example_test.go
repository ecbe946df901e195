package protect_test

import (
	"fmt"

	"github.com/boringquic/boringquic/crypto/protect"
)

// A client's Initial packet, sealed by the client and opened by the server.
func Example() {
	dcid := []byte{0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08}
	client, server := protect.NewKeys(), protect.NewKeys()
	defer client.Release()
	defer server.Release()
	for keys, isClient := range map[*protect.Keys]bool{client: true, server: false} {
		if err := keys.InstallInitial(1, dcid, isClient); err != nil {
			fmt.Println(err)
			return
		}
	}

	// Long header, version 1, both connection IDs, no token, Length 24, packet number 0 in 4 bytes, 4 PING frames.
	packet := append([]byte{0xc3, 0, 0, 0, 1, 8}, dcid...)
	packet = append(packet, 0, 0, 0x40, 24)
	pnOff := len(packet)
	packet = append(packet, 0, 0, 0, 0, 1, 1, 1, 1)
	packet = append(packet, make([]byte, protect.Overhead)...)

	sealed := client.Seal(packet, []protect.SealDesc{{
		Len: uint32(len(packet)), PNOff: uint16(pnOff), PNLen: 4, PN: 0, Slot: protect.Initial,
	}})
	fmt.Println("sealed:", sealed)

	open := []protect.OpenDesc{{
		Len: uint32(len(packet)), PNOff: uint16(pnOff), Slot: protect.Initial, Largest: -1,
	}}
	server.Open(packet, open)
	payload := packet[pnOff+int(open[0].PNLen) : len(packet)-protect.Overhead]
	fmt.Println("opened:", open[0].Status == protect.Opened, "packet number:", open[0].PN, "payload:", payload)
	// Output:
	// sealed: true
	// opened: true packet number: 0 payload: [1 1 1 1]
}
