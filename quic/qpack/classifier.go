package qpack

// Classifier says of fields what would be found out again with each section, such as whether they are valid: of those that stand in tables once for
// each entry. One Classifier may serve any number of Decoders and Encoders at the same time.
type Classifier struct {
	class  func(name, value string) uint8
	static [len(staticTable)]Field // as the decoder gives them out
}

// NewClassifier returns a Classifier whose fields have the Class that the function says, which depends on nothing but its arguments.
func NewClassifier(class func(name, value string) uint8) *Classifier {
	c := &Classifier{class: class}
	for i, e := range staticTable {
		n := knownNames[e.name]
		c.static[i] = Field{Name: n.wire, Value: e.value, Canonical: n.canonical, Class: class(e.name, e.value)}
	}
	return c
}
