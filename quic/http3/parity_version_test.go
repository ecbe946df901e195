package http3_test

// versionRows are those of what newer versions of net/http have; each adds its own.
var versionRows []row
