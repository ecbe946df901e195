package boring

import (
	"crypto/tls"
	"reflect"
	"unsafe"
)

// Exporter is what tls.ConnectionState.ExportKeyingMaterial calls.
type Exporter = func(label string, context []byte, length int) ([]byte, error)

// exporterField is the unexported field of tls.ConnectionState that holds an Exporter. There is no other way to make a
// ConnectionState whose ExportKeyingMaterial works; a Go whose crypto/tls has no such field is noticed here.
var exporterField, hasExporter = func() (reflect.StructField, bool) {
	f, ok := reflect.TypeFor[tls.ConnectionState]().FieldByName("ekm")
	return f, ok && f.Type == reflect.TypeFor[Exporter]()
}()

// SetExporter has s.ExportKeyingMaterial call f. It answers false, and does nothing, if crypto/tls is not as expected.
func SetExporter(s *tls.ConnectionState, f Exporter) bool {
	if hasExporter {
		*(*Exporter)(unsafe.Add(unsafe.Pointer(s), exporterField.Offset)) = f
	}
	return hasExporter
}
