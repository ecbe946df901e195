package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strconv"

	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/qpack"
)

// What both headers make of what a program gives, and of what a peer sends.

// keptFields is how many fields an outgoing keeps room for.
const keptFields = 64

// outgoing is the header section that a program has sent last. Most are like the one before it: a text that comes again at its place is not made anew.
type outgoing struct {
	fields  []qpack.Field
	message h3.Message
}

// begin makes room for n fields, which set fills in. They are good until the next section.
func (o *outgoing) begin(n int) {
	if n > cap(o.fields) || cap(o.fields) > keptFields {
		o.fields = make([]qpack.Field, n)
	}
	o.fields = o.fields[:n]
	clear(o.fields[n:cap(o.fields)])
}

func (o *outgoing) set(i int, name, value []byte) {
	f := &o.fields[i]
	if string(name) != f.Name {
		f.Name = string(name)
	}
	if string(value) != f.Value {
		f.Value = string(value)
	}
}

// section makes a message of the fields, which begin with the pseudo-header fields (RFC 9114, section 4.3). It is good until the next section. What is
// wrong with other names and with values the h3 package says.
func (o *outgoing) section() (*h3.Message, error) {
	m := &o.message
	*m = h3.Message{}
	for i, f := range o.fields {
		if f.Name == "" || f.Name[0] != ':' {
			m.Fields = o.fields[i:]
			break
		}
		for _, before := range o.fields[:i] {
			if before.Name == f.Name {
				return nil, &h3.MessageError{Reason: "the field " + f.Name + " is there twice"}
			}
		}
		switch f.Name {
		case ":method":
			m.Method = f.Value
		case ":scheme":
			m.Scheme = f.Value
		case ":authority":
			m.Authority = f.Value
		case ":path":
			m.Path = f.Value
		case ":protocol":
			m.Protocol = f.Value
		case ":status":
			status, err := strconv.ParseUint(f.Value, 10, 10)
			if err != nil || len(f.Value) != 3 {
				return nil, &h3.MessageError{Reason: "the field :status is " + strconv.Quote(f.Value) + ", and must have three digits"}
			}
			m.Status = int(status)
		default:
			return nil, &h3.MessageError{Reason: "there is no field " + strconv.Quote(f.Name)}
		}
	}
	return m, nil
}

// maxPseudo is how many pseudo-header fields a message has at most.
const maxPseudo = 5

// pseudoFields appends the pseudo-header fields of a message that has come, in the order in which ours are sent.
func pseudoFields(to []qpack.Field, m *h3.Message) []qpack.Field {
	if m.Status != 0 {
		return append(to, qpack.Field{Name: ":status", Value: strconv.Itoa(m.Status)})
	}
	if m.Scheme != "" && m.Authority != "" && m.Path != "" { // as a rule
		to = append(to, qpack.Field{Name: ":method", Value: m.Method}, qpack.Field{Name: ":scheme", Value: m.Scheme},
			qpack.Field{Name: ":authority", Value: m.Authority}, qpack.Field{Name: ":path", Value: m.Path})
	} else {
		to = appendGiven(to, ":method", m.Method)
		to = appendGiven(to, ":scheme", m.Scheme)
		to = appendGiven(to, ":authority", m.Authority)
		to = appendGiven(to, ":path", m.Path)
	}
	return appendGiven(to, ":protocol", m.Protocol)
}

// appendGiven appends a field unless it is empty.
func appendGiven(to []qpack.Field, name, value string) []qpack.Field {
	if value == "" {
		return to
	}
	return append(to, qpack.Field{Name: name, Value: value})
}

// protocols takes a list of protocols apart, each of which comes after its length.
func protocols(b []byte) (list []string, err error) {
	for len(b) > 0 {
		n := int(b[0])
		if n == 0 || n > len(b)-1 {
			return nil, faultf(errArgument, "this is no list of protocols, each of them after a byte with its length")
		}
		list = append(list, string(b[1:1+n]))
		b = b[1+n:]
	}
	return list, nil
}

// certificates returns those of a text in PEM form, of which there must be one.
func certificates(text []byte) (certs []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("it holds no certificate in PEM form")
	}
	return certs, nil
}

// withRoots returns a pool with what p has, which may be nil and is not changed, since connections on other threads may look at it, and with certificates
// in PEM form.
func withRoots(p *x509.CertPool, text []byte) (*x509.CertPool, error) {
	certs, err := certificates(text)
	if err != nil {
		return p, err
	}
	pool := x509.NewCertPool()
	if p != nil {
		pool = p.Clone()
	}
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool, nil
}
