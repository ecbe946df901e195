package quic

import (
	"os"
	"reflect"
	"regexp"
	"testing"
)

// The page for quiche's users names what there is.
func TestMigrationPage(t *testing.T) {
	page, err := os.ReadFile("MIGRATION.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range regexp.MustCompile("`(Conn|Config|ConnectParams|AcceptParams)\\.([A-Z]\\w*)").FindAllStringSubmatch(string(page), -1) {
		found++
		ok := false
		switch m[1] {
		case "Conn":
			_, ok = reflect.TypeFor[*Conn]().MethodByName(m[2])
		case "Config":
			_, ok = reflect.TypeFor[Config]().FieldByName(m[2])
		case "ConnectParams":
			_, ok = reflect.TypeFor[ConnectParams]().FieldByName(m[2])
		case "AcceptParams":
			_, ok = reflect.TypeFor[AcceptParams]().FieldByName(m[2])
		}
		if !ok {
			t.Errorf("%s.%s is not there", m[1], m[2])
		}
	}
	if found < 80 {
		t.Errorf("the page names %d things", found)
	}
}
