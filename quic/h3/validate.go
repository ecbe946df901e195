package h3

import (
	"strconv"
	"strings"

	"github.com/boringquic/boringquic/quic/qpack"
)

// What makes a message malformed (RFC 9114, sections 4.1.2, 4.2, 4.3 and 4.4). The functions here return a reason, empty if there is
// nothing to complain of. Both roles, and both directions, use the same ones.

// charClass says where a character may stand.
type charClass uint8

const (
	inName   charClass = 1 << iota // in a field name: a token (RFC 9110, section 5.6.2) without upper-case letters
	inToken                        // in a token
	inValue                        // in a field value (RFC 9110, section 5.5)
	inTarget                       // in :path
	inHost                         // in :authority: no delimiter that would end it, and none that begins with user information
)

var charClasses = func() (t [256]charClass) {
	for i := range t {
		c := byte(i)
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			t[i] |= inName | inToken | inHost
		case c >= 'A' && c <= 'Z':
			t[i] |= inToken | inHost
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
			t[i] |= inName | inToken
		}
		if c >= ' ' && c != 0x7f || c == '\t' {
			t[i] |= inValue
		}
		if c > ' ' && c != 0x7f {
			t[i] |= inTarget
		}
		if strings.IndexByte("-._~!$&'()*+,;=:[]%", c) >= 0 {
			t[i] |= inHost
		}
	}
	return t
}()

// all tells whether each character of s is of a class.
func all(s string, class charClass) bool {
	for i := range len(s) {
		if charClasses[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// validValue tells whether s may be a field value: no control characters but the tab, and no white space around it.
func validValue(s string) bool {
	if len(s) == 0 {
		return true
	}
	if isBlank(s[0]) || isBlank(s[len(s)-1]) {
		return false
	}
	i := 0
	// Eight bytes at a time: none below a space, none that is DEL. A byte's high bit keeps it out of the first test, as it should.
	for ; i+8 <= len(s); i += 8 {
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		const ones, highs = 0x0101010101010101, 0x8080808080808080
		del := w ^ 0x7f*ones
		if ((w-' '*ones)&^w|(del-ones)&^del)&highs != 0 && !all(s[i:i+8], inValue) { // the test may err on tabs and what stands beside them
			return false
		}
	}
	return all(s[i:], inValue)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// brief is what an error tells of a text of the peer's, and quote is the same as a literal of Go's.
func brief(s string) string {
	if len(s) > maxQuoted {
		return s[:maxQuoted] + "..."
	}
	return s
}

func quote(s string) string { return strconv.Quote(brief(s)) }

// fieldFault returns what is wrong with a field that is no pseudo-header field.
func fieldFault(f *qpack.Field) string {
	if f.Name == "" {
		return "a field without a name"
	}
	if !all(f.Name, inName) {
		if all(f.Name, inToken) {
			return "the field name " + quote(f.Name) + " is not lower-case"
		}
		return quote(f.Name) + " is no field name"
	}
	if !validValue(f.Value) {
		return "the value of " + brief(f.Name) + " has white space around it or characters that are not allowed"
	}
	switch len(f.Name) {
	case 2:
		if f.Name == "te" && f.Value != "trailers" {
			return "te is not \"trailers\""
		}
	case 7, 10, 16, 17:
		if isConnectionField(f.Name) {
			return "the field " + f.Name + " is not for HTTP/3"
		}
	}
	return ""
}

// isConnectionField tells whether a field is about a connection of HTTP/1.1 (RFC 9114, section 4.2).
func isConnectionField(name string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// parseContentLength reads a content-length: digits alone (RFC 9110, section 8.6). -1: it is something else, or above 2^63-1.
func parseContentLength(s string) int64 {
	if s == "" || len(s) > 19 {
		return -1
	}
	n := uint64(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + uint64(s[i]-'0')
	}
	if n > 1<<63-1 {
		return -1
	}
	return int64(n)
}

// fieldClass is what is to be known of a field that is valid in itself. It is qpack.Field.Class, so that it is found out once for each entry of a table.
type fieldClass uint8

const (
	classUnknown  fieldClass = iota // it is not valid, or nobody has looked at it
	classField                      // a field of which a message tells nothing else
	classLength                     // content-length
	classHost                       // host
	classCookie                     // cookie
	classPriority                   // priority
	classMethod                     // the pseudo-header fields, from here on in the order of pseudoSet
	classScheme
	classAuthority
	classPath
	classProtocol
	classStatus
)

// pseudo returns the bit of a pseudo-header field.
func (c fieldClass) pseudo() pseudoSet { return pseudoMethod << (c - classMethod) }

// classifier has the decoders find it out.
var classifier = qpack.NewClassifier(func(name, value string) uint8 {
	return uint8(classOf(&qpack.Field{Name: name, Value: value}))
})

// classOf returns the class of a field, classUnknown if there is something wrong with it.
func classOf(f *qpack.Field) fieldClass {
	if class := pseudoClass(f.Name); class != classUnknown {
		if !validPseudo(class, f.Value) {
			return classUnknown
		}
		return class
	}
	if fieldFault(f) != "" {
		return classUnknown
	}
	switch f.Name {
	case "content-length":
		return classLength
	case "host":
		return classHost
	case "cookie":
		return classCookie
	case "priority":
		return classPriority
	}
	return classField
}

// pseudoClass returns the class of the pseudo-header field with that name, classUnknown if there is none.
func pseudoClass(name string) fieldClass {
	if name == "" || name[0] != ':' {
		return classUnknown
	}
	switch name {
	case ":method":
		return classMethod
	case ":scheme":
		return classScheme
	case ":authority":
		return classAuthority
	case ":path":
		return classPath
	case ":protocol":
		return classProtocol
	case ":status":
		return classStatus
	}
	return classUnknown
}

// validPseudo tells whether a pseudo-header field may have the value, whatever the message is.
func validPseudo(class fieldClass, value string) bool {
	switch class {
	case classMethod, classProtocol:
		return value != "" && all(value, inToken)
	case classScheme:
		return isScheme(value)
	case classAuthority:
		return all(value, inHost)
	case classPath:
		return all(value, inTarget)
	}
	return parseStatus(value) != 0
}

// fieldNotes are what a look at the regular fields of a message has found.
type fieldNotes struct {
	length   int64        // what content-length says, -1 if there is none
	host     *qpack.Field // nil: there is none
	priority *qpack.Field // the first Priority field, nil if there is none
	cookies  int          // how many cookie fields there are
}

// read checks the fields that are no pseudo-header fields, of a message of either role and either direction. What has no class is looked at.
func (notes *fieldNotes) read(fields []qpack.Field) string {
	*notes = fieldNotes{length: -1}
	for i := range fields {
		f := &fields[i]
		class := fieldClass(f.Class)
		if class == classField {
			continue
		}
		if class == classUnknown {
			class = classOf(f)
		}
		switch class {
		case classField:
		case classLength:
			if notes.length >= 0 {
				return "two content-length fields"
			}
			if notes.length = parseContentLength(f.Value); notes.length < 0 {
				return "content-length is " + quote(f.Value) + ", which is no number of bytes"
			}
		case classHost:
			if notes.host != nil {
				return "two Host fields"
			}
			notes.host = f
		case classCookie:
			notes.cookies++
		case classPriority:
			if notes.priority == nil {
				notes.priority = f
			}
		default:
			if strings.HasPrefix(f.Name, ":") {
				return "the pseudo-header field " + quote(f.Name) + " stands behind other fields"
			}
			return fieldFault(f)
		}
	}
	return ""
}

// priorityValue returns the value of the Priority field, empty if there is none.
func (notes *fieldNotes) priorityValue() string {
	if notes.priority == nil {
		return ""
	}
	return notes.priority.Value
}

// pseudoSet is a set of pseudo-header fields.
type pseudoSet uint8

const (
	pseudoMethod pseudoSet = 1 << iota
	pseudoScheme
	pseudoAuthority
	pseudoPath
	pseudoProtocol
	pseudoStatus
)

// pseudoNotes are what a look at the pseudo-header fields of a message has found.
type pseudoNotes struct {
	seen  pseudoSet // those that are there
	wrong pseudoSet // those of them with a value that they cannot have
}

// valid tells whether a field is there, with a value that it can have.
func (n pseudoNotes) valid(field pseudoSet) bool { return n.seen&^n.wrong&field != 0 }

// note notes a field.
func (n *pseudoNotes) note(class fieldClass, valid bool) {
	n.seen |= class.pseudo()
	if !valid {
		n.wrong |= class.pseudo()
	}
}

// takePseudo takes the pseudo-header fields of a request or a response from the begin of fields to m, and returns how many there are.
func (m *Message) takePseudo(fields []qpack.Field, response bool) (n int, notes pseudoNotes, fault string) {
	for ; n < len(fields); n++ {
		f := &fields[n]
		class, valid := fieldClass(f.Class), true
		if class == classUnknown {
			if !strings.HasPrefix(f.Name, ":") {
				break
			}
			class = pseudoClass(f.Name)
			valid = validPseudo(class, f.Value)
		} else if class < classMethod {
			break
		}
		switch {
		case class == classUnknown:
			return n, notes, "the pseudo-header field " + quote(f.Name) + " is not known"
		case response != (class == classStatus):
			return n, notes, "the pseudo-header field " + f.Name + " is not for this kind of message"
		case notes.seen&class.pseudo() != 0:
			return n, notes, "the pseudo-header field " + f.Name + " is there twice"
		}
		notes.note(class, valid)
		switch class {
		case classMethod:
			m.Method = f.Value
		case classScheme:
			m.Scheme = f.Value
		case classAuthority:
			m.Authority = f.Value
		case classPath:
			m.Path = f.Value
		case classProtocol:
			m.Protocol = f.Value
		case classStatus:
			if m.Status = parseStatus(f.Value); m.Status == 0 {
				return n, notes, ":status is " + quote(f.Value)
			}
		}
	}
	return n, notes, ""
}

// parseStatus reads a status code of three digits, 0 if it is none. 101 is not for HTTP/3 (RFC 9114, section 4.5).
func parseStatus(s string) int {
	if len(s) != 3 || s[0] < '1' || s[0] > '9' || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9' || s == "101" {
		return 0
	}
	return int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
}

// parseRequest makes m the request that fields are, whose regular fields it points to, but for its priority. connect tells whether extended CONNECT
// is allowed, and priority is the value of the first Priority field, if there is one.
func (m *Message) parseRequest(fields []qpack.Field, connect bool) (priority, fault string) {
	*m = Message{}
	n, pseudo, fault := m.takePseudo(fields, false)
	if fault != "" {
		return "", fault
	}
	m.Fields = fields[n:]
	var notes fieldNotes
	if fault := notes.read(m.Fields); fault != "" {
		return "", fault
	}
	m.ContentLength = notes.length
	if notes.host != nil {
		switch {
		case pseudo.seen&pseudoAuthority == 0:
			m.Authority = notes.host.Value
		case m.Authority != notes.host.Value:
			return "", ":authority and Host are not the same"
		}
	}
	if fault := m.requestFault(pseudo, connect); fault != "" {
		return "", fault
	}
	priority = notes.priorityValue()
	m.tidy(&notes)
	return priority, ""
}

// requestFault returns what is wrong with the pseudo-header fields of a request (RFC 9114, sections 4.3.1 and 4.4; RFC 9220, section 3).
func (m *Message) requestFault(pseudo pseudoNotes, connect bool) string {
	seen := pseudo.seen
	if !pseudo.valid(pseudoMethod) {
		return ":method is missing or no method"
	}
	if seen&pseudoProtocol != 0 {
		switch {
		case !connect:
			return ":protocol without SETTINGS_ENABLE_CONNECT_PROTOCOL"
		case m.Method != "CONNECT":
			return ":protocol with a method other than CONNECT"
		case !pseudo.valid(pseudoProtocol):
			return ":protocol is no protocol"
		case seen&pseudoAuthority == 0:
			return "no :authority"
		}
	} else if m.Method == "CONNECT" {
		switch {
		case seen&(pseudoScheme|pseudoPath) != 0:
			return ":scheme or :path with CONNECT"
		case !pseudo.valid(pseudoAuthority) || !isHostPort(m.Authority):
			return ":authority of CONNECT is not a host and a port"
		}
		return ""
	}
	if !pseudo.valid(pseudoScheme) {
		return ":scheme is missing or no scheme"
	}
	if fault := m.pathFault(pseudo); fault != "" {
		return fault
	}
	if !pseudo.valid(pseudoAuthority) && !all(m.Authority, inHost) {
		return ":authority or Host is not a host with, perhaps, a port"
	}
	if m.Authority == "" && (isHTTP(m.Scheme) || seen&pseudoAuthority != 0) {
		return ":authority or Host is missing or empty"
	}
	return ""
}

func (m *Message) pathFault(pseudo pseudoNotes) string {
	switch {
	case pseudo.seen&pseudoPath == 0:
		return "no :path"
	case !pseudo.valid(pseudoPath):
		return ":path has characters that are not allowed"
	case !isHTTP(m.Scheme):
		return ""
	case m.Path == "" || m.Path[0] != '/' && !(m.Path == "*" && m.Method == "OPTIONS"):
		return ":path does not begin with a slash"
	}
	return ""
}

func isHTTP(scheme string) bool { return scheme == "https" || scheme == "http" }

// isScheme tells whether s is a scheme (RFC 3986, section 3.1).
func isScheme(s string) bool {
	if isHTTP(s) {
		return true
	}
	for i := range len(s) {
		c := s[i] | 0x20
		if !(c >= 'a' && c <= 'z' || i > 0 && (s[i] >= '0' && s[i] <= '9' || s[i] == '+' || s[i] == '-' || s[i] == '.')) {
			return false
		}
	}
	return s != ""
}

// isHostPort tells whether s is a host, a colon and a port, of those that there are (RFC 9110, section 9.3.6).
func isHostPort(s string) bool {
	i := strings.LastIndexByte(s, ':')
	if i <= 0 || i == len(s)-1 || len(s)-i > 6 || !all(s[:i], inHost) {
		return false
	}
	port := 0
	for _, c := range []byte(s[i+1:]) {
		if c < '0' || c > '9' {
			return false
		}
		port = port*10 + int(c-'0')
	}
	return port > 0 && port <= 65535
}

// parseResponse makes m the response that fields are, whose regular fields it points to.
func (m *Message) parseResponse(fields []qpack.Field) string {
	*m = Message{}
	n, pseudo, fault := m.takePseudo(fields, true)
	if fault != "" {
		return fault
	}
	if pseudo.seen&pseudoStatus == 0 {
		return "no :status"
	}
	m.Fields = fields[n:]
	var notes fieldNotes
	if fault := notes.read(m.Fields); fault != "" {
		return fault
	}
	m.ContentLength = notes.length
	return ""
}

// trailerFault returns what is wrong with a trailer section (RFC 9114, section 4.3: no pseudo-header fields).
func trailerFault(fields []qpack.Field) string {
	for i := range fields {
		f := &fields[i]
		if strings.HasPrefix(f.Name, ":") {
			return "the pseudo-header field " + quote(f.Name) + " in a trailer section"
		}
		if fieldClass(f.Class) == classUnknown {
			if fault := fieldFault(f); fault != "" {
				return fault
			}
		}
	}
	return ""
}

// tidy joins cookie fields of a request (RFC 9114, section 4.2.1), and takes the Host field out.
func (m *Message) tidy(notes *fieldNotes) {
	host, cookies := notes.host != nil, notes.cookies > 1
	if !host && !cookies {
		return
	}
	var few [16]string
	crumbs := few[:0]
	kept, first := m.Fields[:0], -1
	for i := range m.Fields {
		f := m.Fields[i]
		switch {
		case host && f.Name == "host":
			continue
		case cookies && f.Name == "cookie":
			crumbs = append(crumbs, f.Value)
			if first >= 0 {
				continue
			}
			first = len(kept)
		}
		kept = append(kept, f)
	}
	if first >= 0 {
		kept[first].Value = strings.Join(crumbs, "; ")
	}
	m.Fields = kept
}
