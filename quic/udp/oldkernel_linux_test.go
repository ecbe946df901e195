package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Kernels that can do less. The test runs itself in a process whose system calls a seccomp filter refuses, as an old kernel or a
// sandbox does.

// kernelEnv names the kernel that the process is to have.
const kernelEnv = "UDP_TEST_KERNEL"

// refusal is a system call that fails.
type refusal struct {
	nr            uint32
	level, option int // of setsockopt and getsockopt; 0: any
	errno         unix.Errno
}

func option(level int, option int, errno unix.Errno) []refusal {
	return []refusal{{unix.SYS_SETSOCKOPT, level, option, errno}, {unix.SYS_GETSOCKOPT, level, option, errno}}
}

// kernels are what each kernel refuses, and what it leaves.
var kernels = map[string]struct {
	refuses []refusal
	check   func(f Features, hint string) error
}{
	"no batches": {
		[]refusal{{nr: unix.SYS_RECVMMSG, errno: unix.ENOSYS}, {nr: unix.SYS_SENDMMSG, errno: unix.ENOSYS}},
		func(f Features, _ string) error {
			if f.GSO || f.GRO || f.ECN || f.PacketInfo || f.ReadBuffer == 0 {
				return errors.New("the socket claims more than one datagram a call, or does not know its buffers")
			}
			return nil
		},
	},
	"a sandbox": {
		[]refusal{{nr: unix.SYS_SENDMMSG, errno: unix.EPERM}},
		func(f Features, _ string) error {
			if f.GSO || f.GRO {
				return errors.New("the socket claims more than one datagram a call")
			}
			return nil
		},
	},
	"no offloads": {
		append(option(unix.IPPROTO_UDP, unix.UDP_SEGMENT, unix.ENOPROTOOPT), option(unix.IPPROTO_UDP, unix.UDP_GRO, unix.ENOPROTOOPT)...),
		func(f Features, _ string) error {
			if f.GSO || f.GRO || !f.ECN || !f.PacketInfo {
				return errors.New("want ECN and packet info, and no offloads")
			}
			return nil
		},
	},
	"GSO without GRO": {
		option(unix.IPPROTO_UDP, unix.UDP_GRO, unix.ENOPROTOOPT),
		func(f Features, _ string) error {
			if !f.GSO || f.GRO {
				return errors.New("want GSO, and no GRO")
			}
			return nil
		},
	},
	"no ECN, no packet info": {
		append(append(option(unix.IPPROTO_IP, unix.IP_RECVTOS, unix.ENOPROTOOPT), option(unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, unix.ENOPROTOOPT)...),
			append(option(unix.IPPROTO_IP, unix.IP_PKTINFO, unix.ENOPROTOOPT), option(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, unix.ENOPROTOOPT)...)...),
		func(f Features, _ string) error {
			if f.ECN || f.PacketInfo || !f.GSO {
				return errors.New("want GSO, and neither ECN nor packet info")
			}
			return nil
		},
	},
	"no rule on fragments": {
		append(option(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.ENOPROTOOPT), option(unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.ENOPROTOOPT)...),
		func(f Features, _ string) error {
			if f.DontFragment || !f.GSO {
				return errors.New("want GSO, and fragments")
			}
			return nil
		},
	},
	"small buffers": {
		append(append(option(unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, unix.EPERM), option(unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, unix.EPERM)...),
			refusal{unix.SYS_SETSOCKOPT, unix.SOL_SOCKET, unix.SO_RCVBUF, unix.EPERM},
			refusal{unix.SYS_SETSOCKOPT, unix.SOL_SOCKET, unix.SO_SNDBUF, unix.EPERM}),
		func(f Features, hint string) error {
			if strings.Count(hint, "net.core.rmem_max=7340032") != 1 || strings.Count(hint, "net.core.wmem_max=7340032") != 1 {
				return fmt.Errorf("the hint is %q", hint)
			}
			return nil
		},
	},
}

// install has the filter of a kernel apply to the whole process.
func install(kernel string) error {
	k, ok := kernels[kernel]
	if !ok {
		return fmt.Errorf("there is no kernel %q", kernel)
	}
	const loadWord, jumpEqual, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET
	const nrOffset, argsOffset = 0, 16                // in struct seccomp_data
	const retAllow, retErrno = 0x7fff0000, 0x00050000 // SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
	low := uint32(0)                                  // where the low half of an argument lies
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		low = 4
	}
	var prog []unix.SockFilter
	for _, r := range k.refuses {
		tests := []unix.SockFilter{{Code: loadWord, K: nrOffset}, {Code: jumpEqual, K: r.nr}}
		if r.option != 0 {
			tests = append(tests,
				unix.SockFilter{Code: loadWord, K: argsOffset + 8 + low}, unix.SockFilter{Code: jumpEqual, K: uint32(r.level)},
				unix.SockFilter{Code: loadWord, K: argsOffset + 16 + low}, unix.SockFilter{Code: jumpEqual, K: uint32(r.option)})
		}
		for i := range tests {
			if tests[i].Code == jumpEqual {
				tests[i].Jf = uint8(len(tests) - i) // to behind the return
			}
		}
		prog = append(append(prog, tests...), unix.SockFilter{Code: ret, K: retErrno | uint32(r.errno)})
	}
	prog = append(prog, unix.SockFilter{Code: ret, K: retAllow})

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("PR_SET_NO_NEW_PRIVS: %w", err)
	}
	f := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&f)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

func TestMain(m *testing.M) {
	if kernel := os.Getenv(kernelEnv); kernel != "" {
		if err := install(kernel); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// TestOldKernels runs the tests of what must always work under each kernel.
func TestOldKernels(t *testing.T) {
	const tests = "^(TestTrains|TestLongTrainTakesSeveralMessages|TestSendSeveralTrains|TestEmptyDatagram|TestClose|TestThisKernel)$"
	for kernel := range kernels {
		t.Run(kernel, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run="+tests)
			cmd.Env = append(os.Environ(), kernelEnv+"="+kernel)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestThisKernel checks that a socket knows what the kernel cannot do.
func TestThisKernel(t *testing.T) {
	s := open(t, "udp", ":0", Options{})
	k, ok := kernels[os.Getenv(kernelEnv)]
	if !ok { // not restricted
		if f := s.Features(); !f.GSO || !f.GRO || !f.ECN || !f.PacketInfo || !f.DontFragment {
			t.Errorf("this kernel leaves a socket with %+v", f)
		}
		return
	}
	if err := k.check(s.Features(), s.Hint()); err != nil {
		t.Errorf("%v: it has %+v", err, s.Features())
	}
}
