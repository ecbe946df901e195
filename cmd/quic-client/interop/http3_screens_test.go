package interop

import (
	"context"
	"flag"
	"fmt"
	"image"
	"image/png"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var updateScreens = flag.Bool("update", false, "keep the pictures that are taken, in place of comparing them")

// The size of the pictures, that of a phone, and of the squares that are compared, in pixels.
const (
	screenWidth, screenHeight = 500, 900 // Chromium makes no window that is narrower
	square                    = 10
)

// TestScreens: what quic-server's start page and the page of a folder look like in Chromium, over HTTP/3, compared with the pictures that are
// kept. Numbers and the letters of another font may differ: squares of 10 pixels are compared by how bright they are.
func TestScreens(t *testing.T) {
	root := t.TempDir()
	when := time.Date(2026, 11, 26, 20, 0, 0, 0, time.UTC)
	for name, size := range map[string]int{"notes.txt": 1234, "photos/harbour at night.jpg": 2_345_678, "photos/mountains.jpg": 987_654, "film.mp4": 45_678_901} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, int64(size)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
	}
	cert, certFile, keyFile := certificate(t)
	addr := startOurs(t, root, "--no-tcp", "--cert", certFile, "--key", keyFile)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	w := &web{addr: "localhost:" + port, cert: cert}
	for name, path := range map[string]string{"start": "/", "folder": "/photos/"} {
		t.Run(name, func(t *testing.T) {
			shot := filepath.Join(t.TempDir(), name+".png")
			takeScreen(t, w, path, shot)
			kept := filepath.Join("testdata", "screen-"+name+".png")
			if *updateScreens {
				data, err := os.ReadFile(shot)
				if err == nil {
					err = os.WriteFile(kept, data, 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if worst, mean := differ(t, readPNG(t, shot), readPNG(t, kept)); worst > 0.35 || mean > 0.02 {
				t.Errorf("the page looks other than %s: squares differ by up to %.2f of black to white, by %.3f on average", kept, worst, mean)
			}
		})
	}
}

func takeScreen(t *testing.T, w *web, path, shot string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := chromium(t, w, "https://"+w.addr+path, shot, screenWidth, screenHeight)
	cmd = exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	ownGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd) }
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, tail(out))
	}
}

func readPNG(t *testing.T, name string) image.Image {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// differ compares two pictures square by square, 1 being the difference of black and white.
func differ(t *testing.T, a, b image.Image) (worst, mean float64) {
	t.Helper()
	if a.Bounds() != b.Bounds() {
		t.Fatal(fmt.Errorf("the pictures have the sizes %v and %v", a.Bounds(), b.Bounds()))
	}
	n := 0
	for y := 0; y+square <= a.Bounds().Dy(); y += square {
		for x := 0; x+square <= a.Bounds().Dx(); x += square {
			d := math.Abs(brightness(a, x, y) - brightness(b, x, y))
			worst = max(worst, d)
			mean += d
			n++
		}
	}
	return worst, mean / float64(n)
}

// brightness is that of a square, from 0 to 1.
func brightness(img image.Image, x0, y0 int) float64 {
	sum := 0.0
	for y := y0; y < y0+square; y++ {
		for x := x0; x < x0+square; x++ {
			r, g, b, _ := img.At(x, y).RGBA()
			sum += float64(r+g+b) / 3 / 0xffff
		}
	}
	return sum / (square * square)
}
