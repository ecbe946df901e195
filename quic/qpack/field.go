package qpack

// Field is a field line of a header or trailer section, or a pseudo-header field.
type Field struct {
	// Name is the name as it is on the wire: lower case, where the sender follows RFC 9114, section 4.2. This package does not
	// check names and values: what may stand in them is HTTP's business.
	Name  string
	Value string

	// Canonical is Name as net/http writes it (Content-Type), or Name itself where that has no such form, as in pseudo-header
	// fields. The Decoder sets it; the Encoder does not look at it.
	Canonical string

	// Sensitive keeps the value out of every table: it is sent as a never-indexed literal, and one that came so is to be sent on
	// so (RFC 9204, section 7.1.3).
	Sensitive bool

	// Class is what a Classifier says of the field. The Decoder sets it if all of the field is of a table, 0 for others, and Encoder.Prepare of
	// all; what is in it then does not matter to the Encoder.
	Class uint8
}

// fieldOverhead is what a field line, or an entry of a table, counts besides the bytes of its name and value (RFC 9204, section 3.2.1;
// RFC 9114, section 4.2.2).
const fieldOverhead = 32

// Size is what the field counts towards a limit on a field section, in bytes: the lengths of name and value, and 32 (RFC 9114, section
// 4.2.2).
func (f *Field) Size() uint64 { return uint64(len(f.Name)) + uint64(len(f.Value)) + fieldOverhead }
