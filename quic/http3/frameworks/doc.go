// Package frameworks has no code, only tests: what others have written for net/http runs unchanged over HTTP/3, and does what it does over
// HTTP/2. Each test runs over both. It is a module of its own, so that who imports boringquic does not get these libraries.
package frameworks
